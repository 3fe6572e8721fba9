"""Folders of images, and files of MMEngine."""

import json

from tests.helpers.data_worlds import (
    CLASSES,
    Run,
    coco_cfg,
    save_pictures,
)

LOAD = [dict(type='LoadImageFromFile')]


def check_folders(folder, splits=('train', 'val'), names=CLASSES, **changes):
    """Check data of one folder a class, with 4 images each."""
    for split in splits:
        for name in names:
            if not (folder / split / name).exists():
                save_pictures(folder / split / name)
    data = {
        f'{split}_dataloader': dict(
            dataset=dict(
                type='CustomDataset',
                data_root=str(folder),
                data_prefix=split,
                pipeline=LOAD,
            )
            | changes
        )
        for split in splits
    }
    return Run('mmpretrain', **data).check()


def entry(**changes):
    box = dict(bbox=[4, 6, 24, 22], bbox_label=1, ignore_flag=0) | changes
    return dict(img_path='0.png', height=48, width=64, instances=[box])


def own(content, folder, **changes):
    save_pictures(folder / 'images')
    (folder / 'own.json').write_text(json.dumps(content))
    cfg = coco_cfg(folder, 'own.json', type='BaseDetDataset')
    cfg['data_prefix'] = dict(img_path='images/')
    cfg.update(filter_cfg=None, **changes)
    return Run(train_dataloader=dict(dataset=cfg)).check()
