"""The examples of docs/other_code.md, run as they stand there."""

from pathlib import Path

import pytest
import torch

from tests.helpers.doc_examples import DOCS, examples, run_examples

pytestmark = pytest.mark.slow

PAGE = DOCS / 'other_code.md'
NOTEBOOK = 'In a notebook'
LOOP = 'In your own training loop'
LIGHTNING = 'With Lightning'
DETECTOR = 'A detector in your own loop'
TRAINED = 'With maps, boxes and parameters'


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


@pytest.fixture
def configs():
    """A student, a teacher and its weights, as the page takes as given."""
    pytest.importorskip('mmdet')
    from tests.helpers import tiny

    tiny.save_configs()


def test_all_examples_are_run():
    headings = [example.heading for example in examples(PAGE)]
    assert headings == [NOTEBOOK, LOOP, LIGHTNING, DETECTOR, TRAINED]


def test_notebook(configs):
    runner = run_examples(PAGE, NOTEBOOK)['runner']
    values, _ = runner.message_hub.log_scalars['train/loss_ckd'].data
    assert len(values) == 4 and min(values) > 0
    names = [type(hook).__name__ for hook in runner.hooks]
    assert {'EmptyCacheHook', 'CKDHook'} <= set(names)
    assert Path('work_dirs/distilled/epoch_1.pth').is_file()


def test_own_loop():
    names = run_examples(PAGE, LOOP)
    assert names['rld'].shape == names['ckd'].shape == (32,)
    assert names['loss'].isfinite()
    assert names['student'].weight.grad.ne(0).any()


def test_lightning():
    pytest.importorskip('lightning')
    names = run_examples(PAGE, LIGHTNING)
    assert names['trainer'].global_step == 4
    assert names['trainer'].callback_metrics['loss_ckd'] > 0
    (path,) = Path('checkpoints').glob('*.ckpt')
    saved = torch.load(path, weights_only=False)
    assert set(saved['state_dict']) == {'student.weight', 'student.bias'}


def test_detector_in_own_loop(configs):
    names = run_examples(PAGE, DETECTOR)
    assert names['log']['loss_ckd'] > 0
    box_head = names['student'].roi_head.bbox_head
    assert box_head.fc_cls.weight.grad.ne(0).any()
    assert not box_head.loss_cls._forward_pre_hooks
    assert not any(
        p.requires_grad for p in names['teacher'].model.parameters()
    )


def test_trained_loss_in_own_loop(configs):
    names = run_examples(PAGE, DETECTOR)
    names = run_examples(
        PAGE,
        TRAINED,
        **{
            name: value
            for name, value in names.items()
            if not name.startswith('__')
        },
    )
    assert min(names['log'][f'loss_{x}'] for x in ('ckd', 'pkd', 'box')) > 0
    for parameter in names['trained'].parameters():
        assert parameter.grad.ne(0).any()
    held = names['optimizer'].param_groups[0]['params']
    wanted = {id(p) for p in names['trained'].parameters()}
    assert len(wanted) == 8 and wanted <= {id(p) for p in held}
    assert set(names['state']['losses']) == {
        f'loss_pkd.adapters.{level}.{name}'
        for level in range(4)
        for name in ('weight', 'bias')
    }
