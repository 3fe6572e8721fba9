"""tools/train.py: trainings that begin from nothing, or train nothing."""

import re

import pytest
import torch
import train
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

from mmkd_plugin.checkpoints import first_weights
from mmkd_plugin.hooks import start_check_hook
from tests.helpers import tiny, tiny_cls
from tests.helpers.errors_page import ROWS, pattern
from tests.helpers.tool_runs import run, write_config

LOADER = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='Boxes', length=4),
)
DOCUMENTED = (
    'first-weights-little',
    'first-weights-missing',
    'no-batch',
    'no-iteration',
    'no-batch-came',
)
EPOCH = dict(by_epoch=True, max_epochs=1)


@pytest.fixture(scope='module')
def state():
    return tiny.build_detector(7).state_dict()


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Train from a config with some changes; the message and the folder."""
    monkeypatch.chdir(tmp_path)

    def start(*options, classifier=False, **changes):
        loader = dict(LOADER)
        if classifier:
            loader['dataset'] = dict(type='Pictures', length=4)
        changes = dict(train_dataloader=loader, train_cfg=EPOCH) | changes
        config = write_config(tmp_path, [], classifier, **changes)
        if options:
            options = ('--cfg-options', *options)
        code, printed = run(monkeypatch, capsys, train, config, *options)
        if code:
            assert not list(tmp_path.glob('config_work/*.pth'))
            assert any(
                re.fullmatch(f'error: {pattern(ROWS[row])}', code)
                for row in DOCUMENTED
            )
        return code, printed

    return start


def save(state, **names):
    torch.save(dict(state_dict=state, meta={}), 'first.pth')


@pytest.mark.slow
def test_names_of_a_wrapper(start, state):
    save({f'architecture.{key}': value for key, value in state.items()})
    code, _ = start('load_from=first.pth')
    assert code == (
        'error: first.pth of `load_from` fits 0 of the 100 entries of the '
        'backbone, fewer than half, and the rest would begin as random '
        "numbers: its names begin with 'architecture.'; give it by "
        "model.init_cfg=dict(type='Pretrained', checkpoint='first.pth', "
        "prefix='architecture.') instead."
    )
    # What the sentence says, works.
    code, printed = start(
        'model.init_cfg.type=Pretrained',
        'model.init_cfg.checkpoint=first.pth',
        'model.init_cfg.prefix=architecture.',
    )
    assert code == 0
    assert (
        f'first.pth of `model.init_cfg` fits {count(state)} of the '
        f'{count(state)} entries of the model.'
    ) in printed


def count(state):
    return sum('num_batches_tracked' not in key for key in state)


def test_backbone_alone(start, state):
    save(
        {
            key.removeprefix('backbone.'): value
            for key, value in state.items()
            if key.startswith('backbone.')
        }
    )
    code, _ = start('load_from=first.pth')
    assert code.endswith(
        'numbers: it holds only a backbone; give it by '
        "model.backbone.init_cfg=dict(type='Pretrained', "
        "checkpoint='first.pth') instead."
    )
    code, printed = start(
        'model.backbone.init_cfg.type=Pretrained',
        'model.backbone.init_cfg.checkpoint=first.pth',
    )
    assert code == 0
    assert (
        'first.pth of `model.backbone.init_cfg` fits 100 of the 100 entries '
        'of the backbone.'
    ) in printed


def test_init_cfg_without_prefix(start, state):
    save(state)
    options = (
        'model.backbone.init_cfg.type=Pretrained',
        'model.backbone.init_cfg.checkpoint=first.pth',
    )
    code, _ = start(*options)
    assert code == (
        'error: first.pth of `model.backbone.init_cfg` fits 0 of the 100 '
        'entries of the backbone, fewer than half, and the rest would begin '
        "as random numbers: its names begin with 'backbone.'; set "
        "prefix='backbone.' in `model.backbone.init_cfg`."
    )
    assert start(*options, 'model.backbone.init_cfg.prefix=backbone.')[0] == 0


def test_another_width(start):
    save(tiny.build_detector(7, width=16).state_dict())
    code, _ = start('load_from=first.pth')
    assert 'fits 0 of the 100 entries of the backbone' in code
    assert code.endswith(
        'numbers: backbone.conv1.weight is (16, 3, 7, 7) instead of '
        '(8, 3, 7, 7), as of another depth or width; give weights of this '
        'network.'
    )


def test_model_is_usable_after_a_refusal(start, state, monkeypatch):
    """As in a notebook: nothing of ours watches it any more."""
    kept = []
    monkeypatch.setattr(
        start_check_hook,
        'check_first_weights',
        lambda runner: (
            kept.append(runner.model)
            or first_weights.check_first_weights(runner)
        ),
    )
    save({'x': torch.ones(1)})
    assert 'fits 0 of the 100' in start('load_from=first.pth')[0]
    kept[0].load_state_dict({}, strict=False)
    assert not kept[0]._load_state_dict_pre_hooks


def test_another_network(start):
    save(tiny_cls.build_classifier().state_dict())
    code, _ = start('load_from=first.pth')
    assert re.search(
        r"its first name is 'backbone\.\S+', but 'backbone.conv1.weight' "
        r'was expected; give weights of this network\.$',
        code,
    )


def test_head_for_other_classes_is_said(start, state):
    """As where COCO's weights are fine-tuned."""
    other = tiny.build_detector(7, num_classes=5).state_dict()
    save(dict(other, extra=torch.zeros(1)))
    code, printed = start('load_from=first.pth')
    assert code == 0
    total = count(state)
    assert (
        f'first.pth of `load_from` fits {total - 2} of the {total} entries '
        'of the model; 2 of another shape (roi_head.bbox_head.fc_cls.weight, '
        'roi_head.bbox_head.fc_cls.bias); 1 unexpected (extra).'
    ) in printed


@pytest.mark.parametrize('place, found', [
    ('nowhere.pth', 'were not found'), ('.', 'are a folder'),
])  # fmt: skip
def test_file_that_is_not_there(start, place, found):
    wanted = (
        f"error: The first weights '{place}' of {{}} {found}: give the path "
        'or the URL of a file of weights.'
    )
    code, _ = start(f'load_from={place}')
    assert code == wanted.format('`load_from`')
    code, _ = start(
        'model.backbone.init_cfg.type=Pretrained',
        f'model.backbone.init_cfg.checkpoint={place}',
    )
    assert code == wanted.format('`model.backbone.init_cfg`')


def test_classifier_of_other_names(start):
    state = tiny_cls.build_classifier(3).state_dict()
    save({f'student.{key}': value for key, value in state.items()})
    code, _ = start('load_from=first.pth', classifier=True)
    assert "its names begin with 'student.'" in code


def test_schedule_of_another_length(start):
    cosine = dict(type='CosineAnnealingLR', T_max=10)
    code, log = start(param_scheduler=[cosine])
    assert code == 0
    assert (
        'CosineAnnealingLR comes down in 10 epochs, of which the training '
        'has 1: change `param_scheduler` along with `train_cfg`, if that is '
        'not meant.'
    ) in log


def test_no_batch(start):
    code, _ = start(
        train_dataloader=dict(LOADER, batch_size=16, drop_last=True)
    )
    assert code == (
        'error: There is no batch to train on, on rank 0: the train data '
        'have 4 images, and `batch_size` is 16 with `drop_last=True`; make '
        '`batch_size` of `train_dataloader` smaller, set `drop_last=False`, '
        'or add images.'
    )


def test_no_batch_by_iterations(start):
    loop = dict(type='IterBasedTrainLoop', max_iters=1)
    loader = dict(LOADER, batch_size=16, drop_last=True)
    code, _ = start(train_cfg=loop, train_dataloader=loader)
    assert 'There is no batch to train on, on rank 0' in code
    # This sampler goes round the data, and fills the batch.
    loader['sampler'] = dict(type='InfiniteSampler')
    assert start(train_cfg=loop, train_dataloader=loader)[0] == 0


def test_rank_without_a_batch(start, monkeypatch):
    """All ranks say which one, whoever it is."""
    monkeypatch.setattr(
        start_check_hook, 'all_gather_object', lambda length: [length, 0]
    )
    assert 'no batch to train on, on rank 1' in start()[0]


@pytest.mark.parametrize(
    'loop, name, value',
    [
        (dict(by_epoch=True, max_epochs=0), 'max_epochs', 0),
        (dict(by_epoch=True, max_epochs=-2), 'max_epochs', -2),
        (dict(type='IterBasedTrainLoop', max_iters=0), 'max_iters', 0),
    ],
)
def test_no_iteration(start, loop, name, value):
    code, _ = start(train_cfg=loop)
    assert code == (
        f'error: Expected `{name}` of `train_cfg` to be at least 1 but got '
        f'{value}: nothing would be trained.'
    )


@DATA_SAMPLERS.register_module()
class Promises(BatchSampler):
    """Announces a batch and gives none, as MMDetection's may."""

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 1


def test_batches_that_do_not_come(start):
    code, _ = start(
        train_dataloader=dict(
            LOADER, batch_sampler=dict(type='Promises', drop_last=True)
        )
    )
    assert code == (
        'error: The first epoch had no iteration, because the loader gave no '
        'batch (it announced 1): make `batch_size` of `train_dataloader` '
        'smaller, or set `drop_last=False`.'
    )
