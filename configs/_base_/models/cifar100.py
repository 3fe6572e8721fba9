# A classifier of 100 classes. A config on top of it names the backbone and
# the channels that it ends with.

model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=100,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        # The layer begins as PyTorch makes it.
        init_cfg=None,
    ),
)
