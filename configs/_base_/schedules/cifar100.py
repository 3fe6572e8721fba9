# 240 epochs of SGD, batches of 64 images, as RLD, DKD and KD are compared.
# MobileNetV2 and the ShuffleNets learn at a rate of 0.01.

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='MultiStepLR', milestones=[150, 180, 210], gamma=0.1)
]
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
val_cfg = dict()
test_cfg = dict()
