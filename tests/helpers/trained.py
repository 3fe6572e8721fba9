"""Folders of trainings with a checkpoint and a validation set."""

import json

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from PIL import Image

from tests.helpers import tiny, tiny_cls


@DATASETS.register_module()
class ShownPictures(tiny_cls.Pictures):
    """Pictures whose pixels a page can read."""

    def get_data_info(self, index):
        pixels = self[index]['inputs'].permute(1, 2, 0).numpy()
        return dict(img=pixels, gt_label=index % 3)


def coco_dataset(data, count=2):
    """Write images with a box each; return the config of a data set.

    Args:
        data (Path): Their folder.
        count (int): Number of images.
    """
    data.mkdir(exist_ok=True)
    images, boxes = [], []
    for index in range(count):
        pixels = tiny.Boxes()[index % 2]['inputs'].permute(1, 2, 0).numpy()
        name, (height, width) = f'{index}.png', pixels.shape[:2]
        Image.fromarray(pixels).save(data / name)
        images.append(
            dict(id=index, file_name=name, height=height, width=width)
        )
        boxes.append(
            dict(
                id=index + 1,
                image_id=index,
                category_id=4,
                bbox=[5, 6, 30, 20],
                area=600,
                iscrowd=0,
            )
        )
    names = [dict(id=i, name=n) for i, n in zip((2, 4, 9), tiny.CLASSES)]
    content = dict(images=images, annotations=boxes, categories=names)
    (data / 'a.json').write_text(json.dumps(content))
    metas = ('img_id', 'ori_shape', 'img_shape', 'scale_factor')
    return dict(
        type='CocoDataset',
        data_root=str(data),
        ann_file='a.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=tiny.CLASSES),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='PackDetInputs', meta_keys=metas),
        ],
    )


def write_detector(folder, data, seed, count=2):
    """Write a training of a tiny detector.

    Args:
        folder (Path): Its folder.
        data (Path): Folder of its images, see :func:`coco_dataset`.
        seed (int): Of the weights.
        count (int): Number of images.
    """
    _write(
        folder,
        dict(default_scope='mmdet', model=tiny.detector_cfg()),
        coco_dataset(data, count),
        tiny.build_detector(seed),
    )


def write_classifier(folder, seed, count=6):
    """Write a training of a tiny classifier, see :func:`write_detector`."""
    _write(
        folder,
        dict(default_scope='mmpretrain', model=tiny_cls.classifier_cfg()),
        dict(type='ShownPictures', length=count),
        tiny_cls.build_classifier(seed),
    )


def _write(folder, cfg, dataset, model):
    # Validations are not shuffled; a page must not depend on it.
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dataset,
    )
    logs = folder / '2026' / 'vis_data'
    logs.mkdir(parents=True, exist_ok=True)
    Config(dict(cfg, val_dataloader=loader)).dump(logs / 'config.py')
    torch.save(dict(state_dict=model.state_dict()), folder / 'epoch_1.pth')
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
