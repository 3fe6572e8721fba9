"""Every config of the repository, without a training run."""

import copy
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmkd_plugin import losses
from tests.helpers.det_configs import (
    COCO,
    CONFIGS,
    METHODS,
    SMALL,
    load,
    methods_of,
    parts_of,
    student_of,
)
from tests.helpers.doc_examples import DOCS, examples

pytest.importorskip('mmdet')

ALL = sorted(
    path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts
)
HEAD = re.compile(
    r'# (?P<what>\S.*\n(?:# \S.*\n){0,2})'
    r'# Run: (?P<run>.+)\n'
    r'# Prepare: (?P<page>.+)\n'
    r'# Result: (?P<result>.+\n(?:#   .+\n)*)'
    r'\n(?=_base_ = )'
)


every_config = pytest.mark.parametrize(
    'path',
    ALL,
    ids=lambda path: str(path.relative_to(CONFIGS).with_suffix('')),
)
distilled_config = pytest.mark.parametrize(
    'path',
    [path for path in COCO + SMALL if methods_of(path.stem)],
    ids=lambda path: str(path.relative_to(CONFIGS).with_suffix('')),
)


@every_config
def test_opens_with_a_comment(path):
    """What it trains, how, from which data, and what came out."""
    head = re.match(HEAD, path.read_text())
    assert head, 'a config begins as HEAD says'
    found = re.fullmatch(
        r'(?:python tools/train\.py (?P<one>\S+)'
        r'|bash tools/dist_train\.sh (?P<several>\S+) \d+)',
        head['run'],
    )
    command = found['one'] or found['several']
    assert CONFIGS.parent / command == path
    assert re.fullmatch(r'docs/datasets/\w+\.md', head['page'])
    page = CONFIGS.parent.joinpath(head['page']).read_text()
    folder = path.parent.relative_to(CONFIGS.parent)
    assert f'`{folder}/' in page, 'the page says which configs it is for'
    data = load(path).train_dataloader.dataset.data_root
    assert f'{data}' in page, 'the page says where the data go'
    assert re.match(r'not measured |(mAP|top-1) \d+\.\d+', head['result']), (
        'it says what was measured'
    )


@every_config
def test_weights_of_the_teacher_are_on_the_page(path):
    """Where the file goes, or the fragment that has the URL."""
    page = re.search(r'^# Prepare: (.+)$', path.read_text(), re.M)[1]
    page = CONFIGS.parent.joinpath(page).read_text()
    for hook in load(path).get('custom_hooks', []):
        if 'teacher' not in hook:
            continue
        place = hook.teacher.checkpoint
        if '://' in place:
            assert 'custom_hooks.0.teacher.checkpoint=' in page
            assert '`configs/_base_/teachers/' in page
        else:
            place = Path(place)
            if place.is_absolute():
                place = place.relative_to(CONFIGS.parent)
            assert str(place) in page


@pytest.mark.slow
@every_config
def test_survives_copy_and_dump(path, tmp_path):
    cfg = load(path)
    dumped = tmp_path / 'dumped.py'
    cfg.dump(dumped)
    assert Config.fromfile(dumped).to_dict() == cfg.to_dict()
    assert copy.deepcopy(cfg).to_dict() == cfg.to_dict()


@every_config
def test_hooks_build_without_their_teacher(path):
    """A path that does not exist is not looked at before training."""
    cfg = load(path)
    for hook in cfg.get('custom_hooks', []):
        if 'teacher' in hook:
            hook.teacher.checkpoint = '/does/not/exist.pth'
        assert isinstance(HOOKS.build(hook), Hook)


@distilled_config
def test_training_is_that_of_the_student_alone(path):
    """A distillation config adds its hook and changes nothing else."""
    cfg = load(path).to_dict()
    base = student_of(path)
    parts, alone_parts = parts_of(path.stem), parts_of(base.stem)
    assert alone_parts['teacher'] is None
    for part in ('family', 'student'):
        assert parts[part] == alone_parts[part]
    alone = load(base).to_dict()
    *hooks, _ = cfg.pop('custom_hooks')
    assert hooks == alone.pop('custom_hooks', [])
    for key in ('teacher', 'distill', 'method', 'custom_imports'):
        cfg.pop(key, None)
    alone.pop('custom_imports', None)
    assert cfg == alone


@distilled_config
def test_method_is_the_one_in_the_name(path):
    *_, hook = load(path).custom_hooks
    built = HOOKS.build(hook).distiller.losses
    methods = methods_of(path.stem)
    assert list(built) == [f'loss_{method}' for method in methods]
    assert [type(loss).__module__ for loss in built.values()] == [
        f'{losses.__name__}.{method}' for method in methods
    ]


def settings_of(entry):
    """All that a hook was given, its defaults too, without the teacher."""
    teacher = dict(config='teacher.py', checkpoint='teacher.pth')
    hook = HOOKS.build(dict(entry, teacher=teacher))
    terms = {
        name: {
            key: value
            for key, value in vars(loss).items()
            if not key.startswith('_')
        }
        for name, loss in hook.distiller.losses.items()
    }
    task_loss = hook.distiller.task_loss
    return type(hook), terms, vars(hook.schedule), task_loss


@pytest.mark.parametrize('method', [*METHODS, 'function_matching'])
def test_fragment_has_the_settings_of_the_page(method):
    """And is a fragment: a hook for any student and teacher."""
    fragment = load(CONFIGS / f'_base_/methods/{method}.py')
    assert 'distill' in fragment
    assert {*fragment} <= {'distill', 'model', 'optim_wrapper', 'pairs'}
    (example,) = examples(DOCS / 'methods' / f'{method}.md')
    entry = eval(example.code)
    found = settings_of(fragment.distill)
    assert found == settings_of(entry)
    term = 'kd' if method == 'function_matching' else method
    assert f'loss_{term}' in found[1]
