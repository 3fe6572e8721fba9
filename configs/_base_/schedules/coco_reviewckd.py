# The schedule of the COCO experiments of CKD (arXiv 2404.14109): SGD at a rate
# of 0.01 for 360,000 steps of 8 images, a tenth of it after 240,000 and
# 320,000. This is MMDetection's 2x schedule at the rate that belongs to 8
# images. Layers of normalization have no weight decay, those of ReviewKD's
# connectors neither.

_base_ = 'mmdet::_base_/schedules/schedule_2x.py'

optim_wrapper = dict(
    optimizer=dict(lr=0.01), paramwise_cfg=dict(norm_decay_mult=0.0)
)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000
    ),
    dict(
        type='MultiStepLR',
        begin=0,
        end=24,
        by_epoch=True,
        milestones=[16, 22],
        gamma=0.1,
    ),
]
auto_scale_lr = dict(base_batch_size=8)
