"""The metafile of a student says all that it was trained with."""

import hashlib
import inspect
from pathlib import Path

import mmengine
import pytest
import torch
import training_settings
import yaml
from mmengine.registry import MODELS

import mmkd_plugin
from mmkd_plugin.distill import auto_weight
from mmkd_plugin.hooks import DistillHook
from mmkd_plugin.losses import KDLoss
from mmkd_plugin.losses.reviewkd import ReviewKDLoss
from mmkd_plugin.taps.maps.feature_tap import FeatureTap
from mmkd_plugin.teachers.teacher import Teacher
from tests.helpers.commands import run_tool

UNKNOWN = 'not recorded'
REVIEW = dict(
    type='ReviewKDLoss',
    student_channels='auto',
    teacher_channels='auto',
    loss_weight=0.5,
)


def publish(checkpoint='work/epoch_1.pth', *options):
    """Publish, and read what the command has written."""
    ended = run_tool('publish_student', checkpoint, 'out', *options)
    assert ended.code == 0, ended.output
    (path,) = Path('out').glob('*.yml')
    text = path.read_text()
    assert '!!' not in text, 'a tag that no other reader knows'
    (entry,) = yaml.safe_load(text)['Models']
    path.unlink()
    return entry['Metadata']


def defaults(kind):
    """Arguments of a class that have a default, without those of bases."""
    return {
        one.name: one.default
        for one in inspect.signature(kind.__init__).parameters.values()
        if one.default is not one.empty
    }


def test_two_hooks_of_a_classifier(world):
    """From the command that trains to what the file says."""
    world.monkeypatch.setattr(auto_weight, 'STEPS', 1)
    first = dict(type='KDLoss', tau=4.0, loss_weight='auto')
    hooks = [
        dict(type='EMAHook', momentum=0.25),
        world.hook(losses=dict(loss_kd=first), warmup=3, priority='LOW'),
        dict(
            type='RLDHook',
            teacher=[dict(world.hook()['teacher'], precision='fp32')] * 2,
            log_prefix='rld',
            begin=0,
        ),
    ]
    ended = world.train(
        *hooks,
        param_scheduler=dict(type='MultiStepLR', milestones=[8, 9]),
    )
    assert ended.code == 0, ended.output
    found = publish()
    assert found['Training Techniques'] == ['Knowledge Distillation']
    one, two = found['Distillation'][1], found['Distillation'][2]

    kd = one['losses']['loss_kd']
    expected = {**defaults(KDLoss), 'type': 'KDLoss', 'tau': 4.0}
    expected |= dict(loss_weight='auto', pull=1.0)
    saved = torch.load('work/epoch_1.pth', weights_only=False)
    weight = auto_weight.AutoWeight('loss_kd')
    weight.load(saved[auto_weight.NAME]['loss_kd'])
    assert kd.pop('weight_found') == weight.value != 1.0
    assert kd.pop('tap')['type'] == 'ClsHeadTap'
    assert kd == expected
    own = {**defaults(DistillHook), 'type': 'DistillHook', 'warmup': 3}
    teacher = one.pop('teacher')
    del one['losses']
    assert one == {**own, 'inherit': []}
    digest = hashlib.sha256(Path('teacher.pth').read_bytes()).hexdigest()
    assert teacher == {
        **defaults(Teacher),
        'config': 'teacher.py',
        'checkpoint': 'teacher.pth',
        'sha256': digest,
    }

    # A preset: its own arguments, those of its base, and of its loss.
    assert (two['type'], two['beta'], two['log_prefix']) == (
        'RLDHook', 0.25, 'rld',
    )  # fmt: skip
    assert two['end'] is None and two['by_epoch'] is True
    assert [each['precision'] for each in two['teacher']] == ['fp32'] * 2
    loss = two['losses']['loss_rld']
    assert loss['type'] == 'RLDLoss' and loss['beta'] == 0.25
    assert 'weight_found' not in loss

    training = found['Training']
    assert training['optim_wrapper']['accumulative_counts'] == 1
    optimizer = training['optim_wrapper']['optimizer']
    assert (optimizer['lr'], optimizer['momentum']) == (0.01, 0)
    (schedule,) = training['param_scheduler']
    assert (schedule['milestones'], schedule['gamma']) == ([8, 9], 0.1)
    assert training['train_cfg']['max_epochs'] == 1
    assert (training['batch_size_per_process'], training['processes']) == (
        2,
        1,
    )
    assert (training['seed'], training['precision']) == (1, 'float32')
    (other,) = training['other_hooks']
    assert other['momentum'] == 0.25 and other['begin_epoch'] == 0
    versions = found['Versions']
    assert versions.pop('defaults above') == (
        f'mmkd_plugin {mmkd_plugin.__version__}'
    )
    assert versions['torch'] == torch.__version__
    assert versions['mmengine'] == mmengine.__version__
    assert {'mmpretrain', 'mmcv', 'mmkd_plugin'} <= {*versions}


def test_a_trainable_loss_of_a_detector(world):
    ended = world.use('detector').train(
        world.hook(losses=dict(loss_review=REVIEW))
    )
    assert ended.code == 0, ended.output
    Path('teacher.pth').write_bytes(b'another one by now')
    found = publish()
    loss = found['Distillation'][1]['losses']['loss_review']
    tap = loss.pop('tap')
    assert loss == {**defaults(ReviewKDLoss), **REVIEW}
    assert tap == {**defaults(FeatureTap), 'type': 'FeatureTap'}
    # Of the file that was read in the training.
    assert len(found['Distillation'][1]['teacher']['sha256']) == 64
    assert 'mmdet' in found['Versions']


def test_a_student_alone(world):
    ended = world.train(
        dict(type='EMAHook'), options=['--cfg-options', 'randomness.seed=7']
    )
    assert ended.code == 0, ended.output
    found = publish()
    assert found['Distillation'] == 'none'
    assert 'Training Techniques' not in found
    assert found['Training']['seed'] == 7
    assert found['Training']['processes'] == 1
    assert found['Versions']['torch'] == torch.__version__


def test_what_the_file_does_not_say_is_not_guessed(world):
    """A file without the rest of its run, as it is published."""
    hook = world.loss(type='KDLoss', tau=1.0, loss_weight='auto')
    assert world.train(hook).code == 0
    publish()
    (published,) = Path('out').glob('*.pth')
    published = published.rename('bare.pth')
    for path in Path('work').rglob('*.pth'):
        path.unlink()
    found = publish('bare.pth', '--config', 'config.py')
    hook = found['Distillation'][1]
    assert hook['teacher']['sha256'] == UNKNOWN
    assert hook['losses']['loss_kd']['weight_found'] == UNKNOWN
    assert found['Training']['processes'] == UNKNOWN
    assert found['Training']['seed'] == 1
    versions = found['Versions']
    # With its commit, as MMEngine writes it.
    assert versions['mmengine'].startswith(mmengine.__version__)
    assert versions['torch'] == versions['mmkd_plugin'] == UNKNOWN


def test_a_weight_that_was_still_moving(world):
    hook = world.loss(type='KDLoss', tau=1.0, loss_weight='auto', pull=2.0)
    assert world.train(hook).code == 0
    loss = publish()['Distillation'][1]['losses']['loss_kd']
    assert loss['pull'] == 2.0
    assert loss['weight_found'].endswith(' after 1 of 100 steps')


@pytest.mark.parametrize(
    'wrapper, expected',
    [
        (dict(), 'float32'),
        (dict(type='OptimWrapper'), 'float32'),
        (dict(type='BFloat16OptimWrapper'), 'bfloat16 (autocast)'),
        (
            dict(type='AmpOptimWrapper'),
            'default of the device (autocast)',
        ),
        (
            dict(type='AmpOptimWrapper', dtype='float16'),
            'float16 (autocast)',
        ),
        (dict(type='nowhere.Wrapper'), UNKNOWN),
    ],
)
def test_precision(wrapper, expected):
    cfg = dict(optim_wrapper=wrapper)
    found = training_settings.describe(cfg, dict(meta={}), None)
    assert found['Training']['precision'] == expected
    assert found['Training']['optim_wrapper'].items() >= wrapper.items()


def test_defaults_of_bases():
    class Base:
        def __init__(self, needed, depth=1, width=2):
            pass

    class Middle(Base):
        def __init__(self, *args, width=3, **kwargs):
            pass

    class Last(Middle):
        pass

    assert training_settings.with_defaults(Last, dict(needed=0, depth=9)) == (
        dict(type='Last', needed=0, depth=9, width=3)
    )
    # A base that is given nothing more.
    assert 'training' not in training_settings.with_defaults(
        MODELS.get('KDLoss'), {}
    )


def test_only_plain_values_and_no_folder_of_this_machine():
    value = {
        'a': (1, torch.Size([2])),
        'b': Path('/home/me/x.pth'),
        'c': '/home/me/configs/_base_/../y.py',
        'd': [torch.float16, KDLoss, None, True, 0.5],
        'e': torch.tensor(3.0).numpy(),
    }
    found = training_settings.readable(value)
    assert yaml.safe_load(yaml.safe_dump(found)) == found
    assert found == dict(
        a=[1, [2]],
        b='x.pth',
        c='configs/y.py',
        d=['torch.float16', 'KDLoss', None, True, 0.5],
        e=3.0,
    )
