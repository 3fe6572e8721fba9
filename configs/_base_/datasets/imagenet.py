# ImageNet-1k, 64 images a process: RandomResizedCrop to 224 pixels and flips.
# Only the root is set here, because every path has to begin with `data_root`
# for --cfg-options data_root=... to move it.

_base_ = 'mmpretrain::_base_/datasets/imagenet_bs64.py'

data_root = 'data/imagenet/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
