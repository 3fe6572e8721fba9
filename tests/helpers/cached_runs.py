"""Trainings on twelve images of 32 x 32 pixels, with a cached teacher."""

import numpy as np
import torch
from PIL import Image

from tests.helpers import tiny_cls
from tests.helpers.classifier_runs import hook_cfg, make_runner

CLASSES = tiny_cls.CLASSES
IMAGES = 12
LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=4.0),
    loss_rld=dict(
        type='RLDLoss', beta=8.0, tau_scd=4.0, tau_mcd=4.0, alpha=1.0
    ),
)


def save_sheets(folder, seed=0):
    """Sheets of 2 x 2 noise images, one a class."""
    rng = np.random.default_rng(seed)
    (folder / 'train').mkdir(parents=True)
    for name in CLASSES:
        sheet = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(sheet).save(folder / 'train' / f'{name}.png')
    return folder


def make_world(folder):
    """A data set and a teacher, in files."""
    save_sheets(folder / 'data')
    return tiny_cls.save_teacher(folder / 'teacher.pth', classes=CLASSES)


def data_cfg(folder, **changes):
    return dict(
        type='InMemoryCIFAR100', data_root=str(folder / 'data'), **changes
    )


def loader_cfg(folder, **changes):
    return dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=data_cfg(folder, **changes),
        collate_fn=dict(type='take_batch'),
    )


def runner_of(folder, teacher, hook=None, epochs=1, data=None, **changes):
    """A runner with a teacher on the data of `make_world`."""
    hooks = [hook_cfg(teacher, **{'losses': LOSSES, **(hook or {})})]
    settings = dict(
        train_dataloader=loader_cfg(folder, **(data or {})),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
    )
    return make_runner(folder, hooks, **{**settings, **changes})


def history(runner):
    """Each value of each loss, and of the agreement, in the log."""
    return {
        name: torch.as_tensor(buffer.data[0])
        for name, buffer in runner.message_hub.log_scalars.items()
        if 'loss' in name or 'kd_' in name
    }


def trained(*args, **kwargs):
    """Train; return what was logged, and the student's weights."""
    runner = runner_of(*args, **kwargs)
    runner.train()
    return {**history(runner), **runner.model.state_dict()}


def differing(one, other):
    """Names of what is not equal to the last bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
