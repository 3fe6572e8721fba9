"""Batches of noise in place of training data."""

import torch
from mmengine.registry import DATASETS, LOOPS
from mmengine.structures import InstanceData
from stepping import SteppedLoop
from torch.utils.data import Dataset

BOXES = 8


@LOOPS.register_module()
class ReadyLoop(SteppedLoop):
    """Run every step on one batch, which is loaded once."""

    def run(self):
        self._batch = None
        super().run()

    def fetch(self, batches):
        if self._batch is None:
            self._batch = super().fetch(batches)
        return self._batch


@DATASETS.register_module()
class Noise(Dataset):
    """Images of noise, each with a class label or with boxes.

    Args:
        size (tuple[int]): Height and width.
        length (int): Number of images.
        num_classes (int): K of a detector, C of a classifier.
        detection (bool): Whether the images have boxes.
    """

    metainfo = {}

    def __init__(self, size, length, num_classes, detection):
        self.size = tuple(size)
        self.length = length
        self.num_classes = num_classes
        self.detection = detection

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        draw = torch.Generator().manual_seed(index)
        image = torch.randint(
            256, (3, *self.size), dtype=torch.uint8, generator=draw
        )
        count = BOXES if self.detection else 1
        labels = torch.randint(self.num_classes, (count,), generator=draw)
        shapes = dict(img_shape=self.size, ori_shape=self.size)
        if not self.detection:
            from mmpretrain.structures import DataSample

            sample = DataSample(metainfo=shapes).set_gt_label(labels)
            return dict(inputs=image, data_samples=sample)
        from mmdet.structures import DetDataSample

        height, width = self.size
        sides = torch.tensor([width, height] * 2)
        corners = torch.rand(count, 4, generator=draw)
        boxes = torch.cat([corners[:, :2] * 0.6, corners[:, 2:] * 0.4], 1)
        boxes[:, 2:] += boxes[:, :2] + 0.05
        sample = DetDataSample(
            metainfo=dict(shapes, img_id=index, scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(bboxes=boxes * sides, labels=labels)
        return dict(inputs=image, data_samples=sample)


def use_noise(cfg, size, batch_size, batches=1):
    """Let a config train on noise, without changing its weights.

    This way every step costs the same, and runs with one seed see the same
    boxes.

    Args:
        cfg (Config): Changed in place.
        size (tuple[int]): Height and width of the images.
        batch_size (int): Images per batch.
        batches (int): Number of batches; a single one is loaded once.
    """
    detection = 'head' not in cfg.model
    if detection:
        head = cfg.model.get('roi_head', cfg.model).bbox_head
    else:
        head = cfg.model.head
    cfg.train_dataloader = dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='Noise',
            size=size,
            length=batch_size * batches,
            num_classes=head.num_classes,
            detection=detection,
        ),
        collate_fn=dict(
            type='pseudo_collate' if detection else 'default_collate'
        ),
    )
    if batches == 1:
        cfg.train_cfg.type = 'ReadyLoop'
    freeze(cfg)


def freeze(cfg):
    """Set the learning rate to 0, so that no step changes a weight."""
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.param_scheduler = None
    cfg.auto_scale_lr = None
    cfg.randomness = dict(seed=0)
