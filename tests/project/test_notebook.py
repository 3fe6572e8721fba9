"""docs/quickstart.ipynb, run from its first cell to its last."""

import json
import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip('mmdet')
pytest.importorskip('sklearn')

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/quickstart.ipynb'
TREE = ('configs', 'mmkd_plugin', 'tools')


def test_outputs_are_stripped():
    cells = json.loads(PAGE.read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert code
    for cell in code:
        assert cell['outputs'] == []
        assert cell['execution_count'] is None


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch):
    reason = 'nbclient is not installed: `make setup` installs it'
    nbclient = pytest.importorskip('nbclient', reason=reason)
    nbformat = pytest.importorskip('nbformat', reason=reason)
    pytest.importorskip('ipykernel', reason=reason)
    # What the tour writes is written here.
    for name in TREE:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'docs').mkdir()
    shutil.copy(PAGE, tmp_path / 'docs')
    paths = [str(tmp_path), os.environ.get('PYTHONPATH', '')]
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')
    notebook = nbformat.read(tmp_path / 'docs' / PAGE.name, as_version=4)
    resources = {'metadata': {'path': str(tmp_path / 'docs')}}
    nbclient.NotebookClient(notebook, resources=resources).execute()
    outputs = [
        output for cell in notebook.cells for output in cell.get('outputs', [])
    ]
    text = ''.join(output.get('text', '') for output in outputs)
    pictures = [o for o in outputs if 'image/png' in o.get('data', {})]
    assert 'error: ' not in text
    assert 'kd_agreement' in text
    assert len(pictures) == 2
    assert (tmp_path / 'work_dirs/tour/epoch_3.pth').is_file()
    # The five best detections, each a class with its score and box.
    boxes = [line for line in text.splitlines() if line.endswith(']')]
    assert [line[0].isdigit() for line in boxes[-5:]] == [True] * 5
