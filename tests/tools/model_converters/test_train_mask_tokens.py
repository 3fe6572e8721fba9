"""Training the tokens of MasKD: what changes, what is written."""

import json
import re
from pathlib import Path

import pytest
import torch
import train as tool_train
import train_mask_tokens

from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.losses import MasKDLoss
from mmkd_plugin.losses.common.mask_tokens import MaskTokens
from tests.helpers import tiny, tiny_cls, token_runs
from tests.helpers.quick import leave_out_what_takes_long
from tests.helpers.tool_runs import hook_cfg, run, write_config

LOADER = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(type='Boxes', length=8),
    collate_fn=dict(type='pseudo_collate'),
)


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Runs the command; returns its end, the model and the hook."""
    tiny.save_teacher(tmp_path / 'teacher.pth')
    leave_out_what_takes_long(monkeypatch)
    monkeypatch.setattr(train_mask_tokens, 'LOG_INTERVAL', 1)
    kept = {}

    class Kept(train_mask_tokens.TokensHook):
        def before_run(self, runner):
            super().before_run(runner)
            kept.update(hook=self, model=runner.model)

    monkeypatch.setattr(train_mask_tokens, 'TokensHook', Kept)

    def give(*options, hooks=(), **changes):
        config = write_config(
            tmp_path, [*hooks], train_dataloader=LOADER, **changes
        )
        options = [
            str(tmp_path / 'teacher.pth'),
            '--out',
            str(tmp_path / 'tokens.pth'),
            *map(str, options),
        ]
        code, _ = run(monkeypatch, capsys, train_mask_tokens, config, *options)
        return code, kept.get('model'), kept.get('hook')

    return give


def logged(folder):
    """The values that were logged, of each iteration."""
    (path,) = folder.glob('config_work/*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_untouched(model, path):
    """Weights and statistics are those of the file, bit by bit."""
    wanted = torch.load(path, weights_only=True)['state_dict']
    found = model.state_dict()
    assert found.keys() == wanted.keys()
    assert any('running_mean' in name for name in found)
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.slow
def test_only_the_tokens_are_trained(train, tmp_path):
    code, model, hook = train('--iters', 20, '--num-tokens', 4)
    assert code == 0
    assert_untouched(model, tmp_path / 'teacher.pth')
    lines = logged(tmp_path)
    assert len(lines) == 20
    rates = [line['lr'] for line in lines]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.1 and 0 < rates[-1] < 0.01
    for name in ('loss', 'loss_token_dice'):
        values = torch.tensor([line[name] for line in lines])
        assert values.isfinite().all()
        assert values[-5:].mean() < values[:5].mean()
    assert {'loss_rpn_cls', 'loss_cls', 'loss_bbox'} < lines[0].keys()
    # What the heads see is masked.
    with torch.no_grad():
        maps = model.backbone(torch.randn(1, 3, 64, 64))
        masked = model.neck(maps)
        for tokens, found, part in zip(
            hook.tokens, masked, model.neck.forward(maps), strict=True
        ):
            torch.testing.assert_close(found, tokens(part)[0])


@pytest.mark.slow
def test_loss_takes_the_file(train, tmp_path):
    code, _, hook = train('--iters', 2, '--num-tokens', 3)
    assert code == 0
    path = tmp_path / 'tokens.pth'
    assert load_from_local(path)['meta'] == dict(
        teacher='teacher.pth',
        channels=[16] * 5,
        num_tokens=3,
        iterations=2,
    )
    loss = MasKDLoss(
        tokens=str(path),
        num_tokens=3,
        warmup=0,
        loss_weight=1.0,
        student_channels=[8] * 5,
        teacher_channels=[16] * 5,
    )
    sizes = [32, 16, 8, 4, 2]
    value = loss(
        [torch.randn(2, 8, size, size) for size in sizes],
        [torch.randn(2, 16, size, size) for size in sizes],
        None,
    )
    assert value.isfinite() and value > 0
    for name, wanted in hook.tokens.state_dict().items():
        assert torch.equal(loss.masks.state_dict()[name], wanted)
    # It is not a checkpoint of the run, of which there is none.
    assert {*tmp_path.rglob('*.pth')} == {path, tmp_path / 'teacher.pth'}


@pytest.mark.slow
def test_distillation_with_the_file(train, tmp_path, monkeypatch, capsys):
    """Its log names the teacher of the tokens."""
    assert train('--iters', 1)[0] == 0
    folder = tmp_path / 'student'
    folder.mkdir()
    hook = hook_cfg(
        dict(
            config=str(tmp_path / 'config.py'),
            checkpoint=str(tmp_path / 'teacher.pth'),
        ),
        losses=dict(
            loss_maskd=dict(
                type='MasKDLoss',
                tokens=str(tmp_path / 'tokens.pth'),
                warmup=1,
                loss_weight=1.0,
                student_channels=[16] * 5,
                teacher_channels=[16] * 5,
            )
        ),
    )
    config = write_config(
        folder,
        [hook],
        train_dataloader=dict(LOADER, sampler=dict(type='DefaultSampler')),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
    )
    code, _ = run(monkeypatch, capsys, tool_train, config)
    assert code == 0
    (log,) = folder.glob('config_work/*/*.log')
    text = log.read_text()
    assert text.count("tokens.pth are for the teacher 'teacher.pth'.") == 1
    values = re.findall(r'loss_maskd: ([\d.]+)', text)
    assert len(values) == 4 and all(float(value) > 0 for value in values)


@pytest.mark.slow
def test_schedule_hooks_and_first_weights_of_the_config_are_not_used(
    train, tmp_path
):
    model = tiny.detector_cfg().to_dict()
    model['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint='nowhere.pth'
    )
    code, model, _ = train(
        '--iters',
        1,
        hooks=[dict(type='NoSuchHook')],
        model=model,
        optim_wrapper=dict(
            type='AmpOptimWrapper',
            optimizer=dict(type='NoSuchOptimizer'),
            clip_grad=dict(max_norm=1e-3),
        ),
        param_scheduler=[dict(type='NoSuchScheduler')],
        load_from='nowhere.pth',
        val_dataloader=dict(),
        val_cfg=dict(),
        val_evaluator=dict(),
    )
    assert code == 0
    assert_untouched(model, tmp_path / 'teacher.pth')
    # Only its clipping is.
    assert logged(tmp_path)[0]['grad_norm'] > 1e-3


@pytest.mark.slow
def test_folder_of_the_logs(train, tmp_path, monkeypatch):
    """By default not that of the teacher's own training."""
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, [], train_dataloader=LOADER)
    argv = ['x', config, 'teacher.pth', '--out', 'tokens.pth', '--iters', '1']
    monkeypatch.setattr('sys.argv', argv)
    train_mask_tokens.main()
    assert [path.name for path in Path('work_dirs').iterdir()] == [
        'config_tokens'
    ]


@pytest.mark.parametrize('name', ['no/such/tokens.pth', '.'])
def test_out_is_checked_first(train, tmp_path, name):
    code, *_ = train('--out', tmp_path / name)
    assert str(code).startswith(('error: The folder of --out', 'error: The f'))
    assert str(tmp_path) in code
    assert not (tmp_path / 'config_work').exists()


@pytest.mark.parametrize(
    'option, message',
    [
        (('--iters', 0), '`--iters` to be an integer >= 1 but got 0'),
        (('--num-tokens', 0), '`--num-tokens` to be an integer >= 1 but got'),
        (('--lr', -1), '`--lr` to be a number from 0 to 100 but got -1'),
    ],
)
def test_options_out_of_range(train, option, message):
    code, *_ = train(*option)
    assert message in code


def test_neck_of_a_classifier():
    """It gives a vector per image."""
    message = 'GlobalAveragePooling of the teacher ImageClassifier to give a '
    with pytest.raises(TypeError, match=f'{message}list of maps'):
        train_mask_tokens.channels_of(tiny_cls.build_classifier())


def test_tokens_that_are_not_finite(tmp_path):
    tokens = torch.nn.ModuleList([MaskTokens(3, 2)])
    tokens[0].mask_token.data[0, 0] = float('nan')
    with pytest.raises(RuntimeError, match='lower --lr'):
        train_mask_tokens.write(tmp_path / 'x.pth', tokens, {})
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_two_processes_equal_one(group, tmp_path):
    group(2).run(token_runs.check_two_processes, tmp_path)
    found = torch.load(tmp_path / 'tokens.pt', weights_only=True)
    torch.testing.assert_close(found, token_runs.train_alone(tmp_path))
