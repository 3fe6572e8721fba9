"""Comparing models image by image."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import visualize
from mmengine.config import Config
from mmengine.structures import InstanceData

from tests.helpers import tiny
from tests.helpers.trained import coco_dataset


def item(left, category=0, image=7, **more):
    return dict(
        image_id=image,
        category_id=category,
        bbox=[left, 0.0, 10.0, 10.0],
        iscrowd=0,
        **more,
    )


def test_models_write_into_one_sample():
    def model(shift):
        def step(data):
            (sample,) = data
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[1.0, 2, 11, 22]]) + shift,
                labels=torch.tensor([shift]),
                scores=torch.tensor([0.5]),
            )
            return data

        return step

    batches = [[SimpleNamespace(img_id=image)] for image in (3, 4)]
    found = visualize.find_all(dict(a=model(0), b=model(1)), batches)
    assert [d['image_id'] for d in found['a']] == [3, 4]
    assert found['a'][0]['bbox'] == [1, 2, 10, 20]
    assert found['b'][1] == dict(
        image_id=4, category_id=1, bbox=[2, 3, 10, 20], score=0.5
    )


TRUTH = dict(
    images=[dict(id=7, path='a'), dict(id=8, path='b')],
    annotations=[item(0), item(20, 1), dict(item(40), iscrowd=1)],
)


def test_gain_is_that_of_f1():
    found = dict(
        teacher=[item(0, score=0.9), item(20, 1, score=0.9)],
        alone=[item(0, score=0.9), item(20, 0, score=0.8)],
        distilled=[item(0, score=0.9), item(20, 0, score=0.4)],
    )
    found['distilled'].append(item(0, image=8, score=0.6))
    images = visualize.by_image(TRUTH, found)
    visualize.judge(images, dict(teacher=0.5, alone=0.5, distilled=0.5))
    first, second = images
    # One right of 2, 2 and 1 found, of 2 that are there.
    assert first['f1'] == dict(
        teacher=1, alone=0.5, distilled=pytest.approx(2 / 3)
    )
    assert first['gain'] == pytest.approx(1 / 6)
    assert second['f1'] == dict(teacher=1, alone=1, distilled=0)
    assert second['gain'] == -1


def test_each_model_has_its_own_threshold(capsys):
    found = dict(
        # Half of what it finds with a low score is wrong.
        teacher=[
            item(0, score=0.9), item(20, 1, score=0.85),
            item(60, score=0.3), item(90, score=0.2),
        ],
        # All of its scores are low.
        alone=[
            item(0, score=0.12), item(20, 1, score=0.1), item(60, score=0.05)
        ],
        # Nothing is right.
        distilled=[item(60, score=0.9)],
    )  # fmt: skip
    images = visualize.by_image(TRUTH, found)
    thresholds = visualize.choose_thresholds(images)
    assert thresholds == dict(teacher=0.85, alone=0.1, distilled=0.5)
    visualize.judge(images, thresholds)
    assert images[0]['f1'] == dict(teacher=1, alone=1, distilled=0)
    said = capsys.readouterr().err
    assert said.count('warning: ') == 1
    assert 'no detection of the distilled is right' in said


@pytest.mark.parametrize(
    'scores, expected',
    [
        (
            [(0.4, 0.4), (0.9, 0.9)],
            ['the alone has no detection with a score of at least 0.5 in any '
             'validation image: to see'],
        ),
        (
            [(0.4, 0.9), (0.9, 0.9)],
            ['the alone has no detection with a score of at least 0.5 in the '
             'images of improved: to see'],
        ),
        ([(0.9, 0.9), (0.9, 0.9)], []),
    ],
)  # fmt: skip
def test_warnings(scores, expected, monkeypatch, capsys, tmp_path):
    """By model its scores in two images, of which the first is shown."""
    for name in ('draw_classes', 'draw_examples'):
        monkeypatch.setattr(visualize, name, lambda *_: None)
    monkeypatch.setattr(visualize.mmcv, 'imread', lambda *_, **__: None)
    found = {
        name: [item(0, image=image, score=score) for image, score in zip(
            (7, 8), own
        )]
        for name, own in zip(('alone', 'distilled'), scores)
    }  # fmt: skip
    images = visualize.by_image(TRUTH, found)
    thresholds = dict(alone=0.5, distilled=0.5)
    visualize.judge(images, thresholds)
    for image, gain in zip(images, (0.5, 0)):
        image['gain'] = gain
    visualize.draw_all(tmp_path, images, {}, (), 4, thresholds)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected):
        assert line.startswith(f'warning: {start}')


@pytest.fixture
def config(tmp_path):
    """A config with two images and a teacher."""
    cfg = dict(
        default_scope='mmdet',
        model=tiny.detector_cfg(),
        custom_hooks=[
            dict(
                type='CKDHook',
                teacher=tiny.save_teacher(tmp_path / 'teacher.pth', width=16),
            )
        ],
        val_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=coco_dataset(tmp_path),
        ),
        val_cfg=dict(),
        val_evaluator=dict(
            type='CocoMetric',
            ann_file=str(tmp_path / 'a.json'),
            metric='bbox',
        ),
        work_dir=str(tmp_path / 'work'),
        log_level='WARNING',
    )
    Config(cfg).dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def run(monkeypatch, config, *args, last=('--threshold', '0.2')):
    for seed in (1, 2):
        state = tiny.build_detector(seed).state_dict()
        torch.save(dict(state_dict=state), config.parent / f'{seed}.pth')
    argv = ['visualize.py', config, *args, '--num', '1', *last]
    argv += ['--student', config.parent / '1.pth']
    argv += ['--distilled', config.parent / '2.pth']
    monkeypatch.setattr(sys, 'argv', list(map(str, argv)))
    visualize.main()


@pytest.mark.slow
def test_command(config, monkeypatch, capsys):
    seen = []

    # Untrained models find nothing right: say so, and draw all the same.
    def gain(right, taken):
        seen.append((right, taken))
        return len(seen) / 10

    monkeypatch.setattr(visualize, 'f1', gain)
    run(monkeypatch, config)
    out = config.parent / 'work' / 'pictures'
    names = {path.name for path in out.iterdir()}
    assert names == {
        'classes.png',
        'classes.pdf',
        'improved.png',
        'improved.pdf',
        'results.json',
    }
    results = json.loads((out / 'results.json').read_text())
    assert list(results['models']) == list(visualize.MODELS)
    assert results['thresholds'] == dict.fromkeys(visualize.MODELS, 0.2)
    assert [len(image['f1']) for image in results['images']] == [3, 3]
    # Both images, three models each; something was found in them.
    assert len(seen) == 6 and any(right for right, _ in seen)
    # There are boxes of one class alone.
    classes = results['models']['teacher']['classes']
    assert classes['cat'] is None and classes['dog'] is not None
    assert 'F1 is higher in 2, lower in 0 of 2' in capsys.readouterr().out


def test_models_are_the_three(config, monkeypatch):
    """Their detections are those of the models that were saved."""
    caught = {}

    def find(models, loader):
        data = next(iter(loader))
        for name, model in models.items():
            (first, _) = model(data)
            caught[name] = first.pred_instances.scores.clone()
        raise SystemExit

    monkeypatch.setattr(visualize, 'find_all', find)
    with pytest.raises(SystemExit):
        run(monkeypatch, config)
    cfg = Config.fromfile(config)
    loader = visualize.QuietRunner.build_dataloader(cfg.val_dataloader)
    for name, seed, width in zip(visualize.MODELS, (7, 1, 2), (16, 8, 8)):
        model = tiny.build_detector(seed, width=width).eval()
        with torch.no_grad():
            (first, _) = model.val_step(next(iter(loader)))
        assert len(first.pred_instances)
        # Batch normalisation of the teacher is folded, which rounds.
        torch.testing.assert_close(caught[name], first.pred_instances.scores)


def test_classes_of_a_teacher_that_is_read_in_features_alone(
    config, monkeypatch
):
    """No term matches them, but its detections are named all the same."""
    caught = []

    def find(models, loader):
        data = next(iter(loader))
        caught.extend(models['teacher'](data)[0].pred_instances.labels)
        raise SystemExit

    monkeypatch.setattr(visualize, 'find_all', find)
    text = config.read_text()
    hook = dict(
        type='DistillHook',
        teacher=dict(
            tiny.save_teacher(config.parent / 'teacher.pth', width=16),
            classes=('owl', 'cat', 'dog'),
        ),
        losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=6.0)),
    )
    cfg = Config.fromstring(text, '.py')
    cfg.custom_hooks = [hook]
    cfg.dump(config)
    with pytest.raises(SystemExit):
        run(monkeypatch, config)
    loader = visualize.QuietRunner.build_dataloader(cfg.val_dataloader)
    model = tiny.build_detector(7, width=16).eval()
    with torch.no_grad():
        (first, _) = model.val_step(next(iter(loader)))
    labels = first.pred_instances.labels.tolist()
    assert [int(x) for x in caught] == [{0: 2, 1: 0, 2: 1}[x] for x in labels]
    assert labels


def test_config_without_teacher(config, monkeypatch):
    with pytest.raises(SystemExit, match='has 0 teachers'):
        run(monkeypatch, config, '--cfg-options', 'custom_hooks=[]')


@pytest.mark.parametrize('value', ['-0.1', '1.1', 'nan', 'half'])
def test_thresholds_are_scores(config, monkeypatch, capsys, value):
    with pytest.raises(SystemExit):
        run(monkeypatch, config, '--threshold', value, last=())
    assert '--threshold' in capsys.readouterr().err


def test_pictures_are_of_the_most_changed(monkeypatch, tmp_path):
    drawn = {}
    monkeypatch.setattr(visualize, 'draw_classes', lambda *args: None)
    monkeypatch.setattr(
        visualize,
        'draw_examples',
        lambda paths, images, *_: drawn.update({paths[0].stem: images}),
    )
    monkeypatch.setattr(
        visualize.mmcv, 'imread', lambda *_, **__: np.zeros((4, 4, 3))
    )
    images = [
        dict(gain=gain, found={}, path='')
        for gain in (0.1, -0.2, 0.0, 0.3, 0.2)
    ]
    names = visualize.draw_all(tmp_path, images, {}, (), 2, {})
    assert names == ['classes', 'improved', 'harmed']
    assert [image['gain'] for image in drawn['improved']] == [0.3, 0.2]
    assert [image['gain'] for image in drawn['harmed']] == [-0.2]
    # What an earlier call has drawn would be taken for this one's.
    (tmp_path / 'improved.png').touch()
    names = visualize.draw_all(tmp_path, images[2:3], {}, (), 2, {})
    assert names == ['classes']
    assert not any(tmp_path.iterdir())
