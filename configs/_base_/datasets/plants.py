# Scenes of plants from CIFAR-100: 1000 images for training, 120 for
# validation, 180 for the test, 128 x 128. Where they go, and how they are
# made: docs/datasets/plants.md.

_base_ = './small_coco.py'

data_root = 'data/plants/'
metainfo = dict(
    classes=(
        'apple',
        'mushroom',
        'orange',
        'orchid',
        'pear',
        'poppy',
        'sunflower',
        'sweet_pepper',
    )
)
scale = (128, 128)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = scale
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = scale
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/test.json',
        data_prefix=dict(img='test/'),
        pipeline=test_pipeline,
    )
)
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/test.json')
