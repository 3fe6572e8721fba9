"""docs/own_data.md, run from its first line to its last."""

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config

pytest.importorskip('mmdet')
pytest.importorskip('sklearn')


import make_digits  # noqa: E402
from mmdet.visualization import DetLocalVisualizer  # noqa: E402

from mmkd_plugin.checkpoints.unpickling import load_from_local  # noqa: E402
from tests.helpers.commands import REPO  # noqa: E402
from tests.helpers.doc_examples import DOCS, examples  # noqa: E402

pytestmark = pytest.mark.slow

PAGE = DOCS / 'own_data.md'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """One with the files of the page, beside the configs of the project."""
    monkeypatch.chdir(tmp_path)
    Path('configs').symlink_to(REPO / 'configs')
    Path('my').mkdir()
    for example in examples(PAGE):
        path = re.match(r'# (my/\w+\.py)\n', example.code)
        if path:
            Path(path[1]).write_text(example.code)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs one line of a shell block in this process."""

    def run(line):
        script, *args = shlex.split(line)[1:]
        DetLocalVisualizer._instance_dict.clear()
        monkeypatch.setattr(sys, 'argv', [script, *args])
        import_module(Path(script).stem).main()
        return capfd.readouterr().out

    return run


def test_the_page_from_data_to_a_distilled_student(folder, monkeypatch, run):
    sizes = {name: (8, pool) for name, (_, pool) in make_digits.SPLITS.items()}
    monkeypatch.setattr(make_digits, 'SPLITS', sizes)
    make, train = (example.code for example in examples(PAGE, 'bash'))
    run(make.strip())
    logs = [run(line) for line in train.splitlines()]
    assert len(logs) == 3
    assert all('coco/bbox_mAP: ' in log for log in logs)
    assert 'loss_ckd' in logs[2] and 'loss_ckd' not in logs[1]
    states = [
        load_from_local(f'work_dirs/{name}/epoch_10.pth')['state_dict']
        for name in ('student', 'distilled')
    ]
    assert states[0].keys() == states[1].keys()


@pytest.mark.parametrize('option', [False, True])
def test_a_line_that_changes_nothing(folder, option, run):
    (code,) = (
        example.code
        for example in examples(PAGE)
        if example.heading == 'A setting that changes nothing'
    )
    Path('my/bigger.py').write_text(code)
    line = 'python tools/train.py my/bigger.py'
    if option:
        line = (
            'python tools/train.py my/student.py --cfg-options '
            'scale="(320, 320)"'
        )
    with pytest.raises(SystemExit, match='scale.* changes nothing'):
        run(line)
    assert not Path('work_dirs').exists()


def test_one_line_each(folder):
    for file, old, new in (
        ('data', r'classes=\(.*\)\)', "classes=('a', 'b', 'c'))"),
        ('data', r'scale = \(160, 160\)', 'scale = (96, 64)'),
        ('student', 'max_epochs=10', 'max_epochs=7'),
    ):
        path = Path(f'my/{file}.py')
        text, count = re.subn(old, new, path.read_text())
        assert count == 1
        path.write_text(text)
    cfg = Config.fromfile('my/distilled.py')
    assert cfg.model.roi_head.bbox_head.num_classes == 3
    for part in ('train', 'val', 'test'):
        data = cfg[f'{part}_dataloader'].dataset
        assert data.metainfo.classes == ('a', 'b', 'c')
        (size,) = (step.scale for step in data.pipeline if 'scale' in step)
        assert size == (96, 64)
    assert cfg.train_cfg.max_epochs == 7
    assert not any(
        'T_max' in one or 'end' in one for one in cfg.param_scheduler[1:]
    )
