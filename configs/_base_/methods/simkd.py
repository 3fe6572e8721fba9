# SimKD (arXiv 2203.14001): the student imitates the map that the teacher's
# classifier reads, and takes over that classifier. What is trained is another
# network: a config has to put the projector before the pooling, give the head
# the teacher's channels, and keep it still.
#
#     model = dict(
#         neck=[
#             dict(in_channels=..., out_channels=..., **_base_.projector),
#             dict(type='GlobalAveragePooling'),
#         ],
#         head=dict(in_channels=...),
#     )
#     optim_wrapper = dict(paramwise_cfg=_base_.paramwise_cfg)

distill = dict(
    type='DistillHook',
    task_loss=False,
    inherit=['head'],
    losses=dict(
        loss_simkd=dict(
            type='FitNetLoss',
            loss_weight=1.0,
            tap=dict(type='FeatureTap', modules='last_map', resize='pool'),
        )
    ),
)
projector = dict(type='SimKDProjector', ratio=2)
paramwise_cfg = dict(custom_keys={'head.fc': dict(lr_mult=0, decay_mult=0)})
