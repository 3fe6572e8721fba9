# AdamW under one cosine to the end of the training, with a linear warm-up of
# 50 iterations. For another length, change `max_epochs` of `train_cfg` alone.
# MMEngine validates after the last epoch, whatever the interval.

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=10, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
