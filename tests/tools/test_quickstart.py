"""The parts of the quickstart, on tiny inputs, and the shipped teacher."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip('pycocotools')
pytest.importorskip('matplotlib')
pytest.importorskip('sklearn')

from tools import make_digits, quickstart  # noqa: E402


def detection(annotation, score=0.9, **changes):
    keys = ('image_id', 'category_id', 'bbox')
    return {**{k: annotation[k] for k in keys}, 'score': score, **changes}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('digits')
    make_digits.make_split(out, 'val', num_images=3)
    return out


@pytest.fixture
def truth(data):
    path = data / 'annotations' / 'val.json'
    return json.loads(path.read_text())['annotations']


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_evaluate(data, truth, tmp_path):
    annotations = data / 'annotations' / 'val.json'

    def score(detections):
        found = write(tmp_path / 'found.json', detections)
        return quickstart.evaluate(annotations, found)

    perfect = score([detection(a) for a in truth])
    assert perfect == dict(mAP=1.0, AP50=1.0, AP75=1.0)
    assert score([]) == dict(mAP=0.0, AP50=0.0, AP75=0.0)
    wrong = [
        detection(a, category_id=a['category_id'] % 10 + 1) for a in truth
    ]
    assert score(wrong)['AP50'] < 0.3


def test_match(truth):
    first, second = truth[:2]
    found = [
        detection(first, score=0.5),
        detection(first, score=0.9),
        detection(second, category_id=second['category_id'] % 10 + 1),
    ]
    right, taken = quickstart.match([first, second], found)
    assert sorted(right) == [False, False, True]
    assert taken == [True, False]
    # The more certain of two equal boxes is the right one.
    assert quickstart.match([first], found[:2]) == ([True, False], [True])
    assert quickstart.match([], found) == ([False] * 3, [])
    assert quickstart.match([first], []) == ([], [False])


def test_iou():
    boxes = [[0, 0, 2, 2], [1, 1, 2, 2], [5, 5, 1, 1]]
    expected = [1, 1 / 7, 0]
    assert np.allclose(quickstart.iou([0, 0, 2, 2], boxes), expected)


def test_table():
    def run(value, **more):
        return dict(mAP=value, AP50=value + 0.1, AP75=value, **more)

    one = quickstart.make_table(
        {
            'teacher': [run(0.6)],
            'student': [run(0.4, step=0.1)],
            'student + CKD': [run(0.45, step=0.2)],
        }
    ).splitlines()
    assert len({len(line) for line in one}) == 1
    assert [c.strip() for c in one[3].split('|')[1:-1]] == [
        'student',
        '0.400',
        '0.500',
        '0.400',
        '0.100 s',
    ]
    assert [c.strip() for c in one[5].split('|')[1:-1]] == [
        'difference',
        '+0.050',
        '+0.050',
        '+0.050',
        '',
    ]
    several = quickstart.make_table(
        {
            'teacher': [run(0.6)],
            'student': [run(0.40, step=0.1), run(0.42, step=0.1)],
            'student + CKD': [run(0.43, step=0.2), run(0.43, step=0.2)],
        }
    ).splitlines()
    assert '0.410 ± 0.014' in several[3]
    # The difference is paired by seed: +0.03 and +0.01.
    assert '+0.020 ± 0.014' in several[5]


def make_log(work_dir, terms):
    folder = work_dir / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    lines = []
    for epoch in (1, 2):
        record = dict.fromkeys(terms, 1.5 / epoch)
        lines += [
            dict(
                loss=3 / epoch,
                **record,
                time=0.1,
                epoch=epoch,
                iter=10 * epoch,
                step=10 * epoch,
            ),
            {'coco/bbox_mAP': 0.1 * epoch, 'step': epoch},
        ]
    text = '\n'.join(map(json.dumps, lines))
    (folder / 'scalars.json').write_text(text + '\n{"loss": 1.')
    return quickstart.read_log(work_dir)


def test_read_log(tmp_path):
    train, scores = make_log(tmp_path, ['loss_cls'])
    assert [record['loss'] for record in train] == [3, 1.5]
    assert scores == {1: 0.1, 2: 0.2}
    assert quickstart.read_log(tmp_path / 'none') == ([], {})


def test_pictures(data, truth, tmp_path):
    import matplotlib.pyplot as plt

    names = ['teacher', 'student', 'student + CKD']
    found = {
        name: write(tmp_path / f'{i}.json', [detection(a) for a in truth[i:]])
        for i, name in enumerate(names)
    }
    found['student'].write_text('[]')
    quickstart.draw_scenes(tmp_path / 'scenes.png', data, found, 2)
    logs = {
        name: make_log(tmp_path / name, terms)
        for name, terms in dict(
            student=['loss_cls'], both=['loss_cls', 'loss_ckd']
        ).items()
    }
    quickstart.draw_curves(tmp_path / 'curves.png', logs, 0.6)
    for name in ('scenes.png', 'curves.png'):
        pixels = plt.imread(tmp_path / name)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.05
    assert not plt.get_fignums()


def test_failed_run_is_reported(tmp_path):
    process = quickstart.launch(
        'train.py', 'no_such_config', tmp_path / 'run', {}
    )
    process.wait()
    with pytest.raises(SystemExit, match='no_such_config'):
        quickstart.check(process, tmp_path / 'run')


def test_watch_prints_every_epoch(tmp_path, capsys):
    import subprocess

    logs = {name: tmp_path / name for name in ('a', 'b')}
    for path in logs.values():
        make_log(path, ['loss_cls'])
    processes = {
        name: subprocess.Popen([sys.executable, '-c', '']) for name in logs
    }
    quickstart.watch(processes, logs, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-2:]] == ['1/2', '2/2']
    assert lines[-1].split()[1:] == [
        '0:00',
        '1.500',
        '0.200',
        '1.500',
        '0.200',
    ]


def test_shipped_teacher_loads_strictly():
    pytest.importorskip('mmdet')
    import torch

    from mmkd_plugin.teacher import Teacher

    assert quickstart.WEIGHTS.stat().st_size < 3 * 2**20
    content = torch.load(quickstart.WEIGHTS, weights_only=True)
    assert ''.join(content['meta']['dataset_meta']['classes']) == '0123456789'
    config = quickstart.CONFIGS / f'{quickstart.TEACHER}.py'
    teacher = Teacher(str(config), str(quickstart.WEIGHTS)).model
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, content['state_dict'][name].to(value.dtype))
        assert value.isfinite().all()


def test_config_of_the_pair_differs_by_the_teacher_alone():
    from mmengine.config import Config

    alone, taught = (
        Config.fromfile(quickstart.CONFIGS / f'{name}.py')
        for name in quickstart.RUNS.values()
    )
    hooks = taught.pop('custom_hooks')
    taught.pop('custom_imports')
    assert alone.to_dict() == taught.to_dict()
    assert [hook['type'] for hook in hooks] == ['CKDHook']
    assert hooks[0]['teacher']['checkpoint'] == str(quickstart.WEIGHTS)
