# CIFAR-100 as in the papers of RLD and CKD: random crop out of a padding of 4
# pixels and flip; batches of 64. Where it goes: docs/datasets/cifar100.md.
# The data set makes whole batches in the main process: loading workers would
# only add to it. Data set and networks are those of this package.

custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)
data_root = 'data/cifar100/'

data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=100,
    # RGB, 255 times the published (0.5071, 0.4867, 0.4408), (0.2675, ...)
    mean=[129.3105, 124.1085, 112.404],
    std=[68.2125, 65.4075, 70.4055],
    to_rgb=False,
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    dataset=dict(
        type='InMemoryCIFAR100',
        data_root=data_root,
        split='train',
        padding=4,
        flip_prob=0.5,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='take_batch'),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    dataset=dict(type='InMemoryCIFAR100', data_root=data_root, split='test'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='take_batch'),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
