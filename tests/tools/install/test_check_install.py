"""The self-check: passes here, and names what is wrong elsewhere."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmcv')

import check_install  # noqa: E402

pytestmark = pytest.mark.slow

SCRIPT = Path(check_install.__file__)


def run_beside(packages, *args):
    """Runs the script with a folder of stand-in packages in front."""
    return subprocess.run(
        [sys.executable, SCRIPT, *args],
        capture_output=True,
        text=True,
        env={'PYTHONPATH': f'{packages}:{SCRIPT.parent.parent}'},
    )


def write(folder, **modules):
    for name, text in modules.items():
        (folder / f'{name}.py').write_text(text)
    return folder


def test_the_installation_that_runs_these_tests_passes(tmp_path):
    result = run_beside(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "torchvision's and mmcv's work on cpu" in result.stdout
    assert torch.__version__ in result.stdout


def test_mmcv_without_ops_is_found(tmp_path):
    text = 'raise ModuleNotFoundError("No module named \'mmcv._ext\'")\n'
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').write_text("__version__ = '2.1.0'\n")
    write(tmp_path / 'mmcv', ops=text)
    write(tmp_path, mmdet="__version__ = '3.3.0'\n")
    write(tmp_path, mmpretrain="__version__ = '1.2.0'\n")
    result = run_beside(tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith('ERROR: ')
    assert len(result.stderr.splitlines()) == 1
    assert 'built without its ops' in result.stderr


@pytest.mark.parametrize(
    'module, reason, hint',
    [
        ('mmcv.ops', "No module named 'mmcv._ext'", 'without its ops'),
        ('mmcv.ops', '_ext.so: undefined symbol: _ZN2at', 'another torch'),
        ('torchvision', 'operator torchvision::nms does not', 'do not match'),
        ('torchvision', '_C.so: undefined symbol: _ZN3c10', 'do not match'),
        ('cv2', 'libGL.so.1: cannot open shared object', 'libgl1'),
        ('mmdet', 'MMCV==2.2.0 is used but incompatible', 'make setup'),
    ],
)
def test_a_failed_import_becomes_one_sentence(
    monkeypatch, module, reason, hint
):
    def fail(name):
        raise ImportError(f'{reason}\nand a second line')

    monkeypatch.setattr(check_install.importlib, 'import_module', fail)
    with pytest.raises(check_install.CheckError) as caught:
        check_install.load(module)
    message = str(caught.value)
    assert f'`import {module}`' in message
    assert reason in message
    assert hint in message
    assert '\n' not in message


@pytest.mark.parametrize(
    'installed, family',
    [
        ({'mmcv', 'mmdet'}, 'openmmlab'),
        ({'onedl-mmcv', 'onedl-mmengine'}, 'onedl'),
        (set(), 'unknown'),
    ],
)
def test_family(monkeypatch, installed, family):
    monkeypatch.setattr(check_install, 'is_installed', installed.__contains__)
    assert check_install.find_family() == family


def test_two_families_in_one_environment_are_refused(monkeypatch):
    installed = {'mmcv', 'onedl-mmengine'}
    monkeypatch.setattr(check_install, 'is_installed', installed.__contains__)
    with pytest.raises(check_install.CheckError, match='onedl-mmengine'):
        check_install.find_family()


def stand_in(**changes):
    """What `load` returns: the real ops, with some of them replaced."""
    ops = check_install.load('mmcv.ops')
    vision = check_install.load('torchvision.ops')
    given = {'nms': ops.nms, 'RoIAlign': ops.RoIAlign, 'tv_nms': vision.nms}
    given.update(changes)
    modules = {
        'torchvision.ops': SimpleNamespace(nms=given['tv_nms']),
        'mmcv.ops': SimpleNamespace(
            nms=given['nms'], RoIAlign=given['RoIAlign']
        ),
    }
    return modules.__getitem__


def keep_all(boxes, scores, iou):
    return torch.arange(len(boxes))


def keep_all_mmcv(boxes, scores, iou):
    return boxes, torch.arange(len(boxes))


def pool_zeros(**kwargs):
    return lambda plane, rois: torch.zeros(1, 1, 2, 2)


def fail(*args):
    raise RuntimeError('no kernel image\nsecond line')


@pytest.mark.parametrize(
    'change, message',
    [
        ({'tv_nms': keep_all}, "torchvision's NMS"),
        ({'nms': keep_all_mmcv}, "mmcv's NMS"),
        ({'RoIAlign': pool_zeros}, "mmcv's RoIAlign"),
        ({'nms': fail}, 'no kernel image'),
    ],
)
def test_wrong_values_are_found(monkeypatch, change, message):
    monkeypatch.setattr(check_install, 'load', stand_in(**change))
    with pytest.raises(check_install.CheckError, match=message) as caught:
        check_install.check_ops()
    assert '\n' not in str(caught.value)
