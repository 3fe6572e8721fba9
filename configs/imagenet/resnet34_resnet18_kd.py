# KD (classical knowledge distillation) on ImageNet-1k: ResNet-34 teaches
# ResNet-18, 100 epochs.
#
# To prepare: ImageNet-1k in data/imagenet/ (train/ and val/, a folder for each
#   class), or elsewhere with --cfg-options data_root=/path/to/imagenet/
#   The teacher's weights are downloaded. Without internet, give a file:
#     --cfg-options custom_hooks.0.teacher.checkpoint=/path/to/teacher.pth
# On 8 GPUs x 64 images:
#   bash tools/dist_train.sh configs/imagenet/resnet34_resnet18_kd.py 8
# On one GPU (--auto-scale-lr fits the learning rate to the batch size):
#   python tools/train.py configs/imagenet/resnet34_resnet18_kd.py \
#     --auto-scale-lr
# Result: not measured yet.

_base_ = ['./resnet18.py', '../_base_/teachers/imagenet_resnet34.py']

# 0.5 of the cross entropy, beside 0.5 of the distillation term.
model = dict(head=dict(loss=dict(loss_weight=0.5)))
custom_hooks = [
    dict(
        type='DistillHook',
        teacher=_base_.teacher,
        losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=0.5)),
    )
]
