"""Predictions of the last checkpoint, and their file."""

import os

import pytest
import torch
from mmengine.runner import Runner
from page import predictions, validation
from page.predictions import predict, spread
from page.validation import Unusable

from mmkd_plugin.reports.detections import evaluate
from mmkd_plugin.reports.samples import read_detections, read_truth
from tests.helpers import tiny, tiny_cls
from tests.helpers.trained import write_classifier, write_detector


def test_spread():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(5, 5) == [0, 1, 2, 3, 4]
    assert spread(9, 3) == [0, 4, 8]
    for total, most in ((10, 7), (5000, 500), (501, 500)):
        found = spread(total, most)
        assert len({*found}) == most and found == sorted(found)
        assert (found[0], found[-1]) == (0, total - 1)


@pytest.mark.slow
def test_detector(tmp_path, monkeypatch):
    judged = []
    monkeypatch.setattr(
        predictions,
        'best_threshold',
        lambda pairs: judged.extend(pairs) or 0.2,
    )
    write_detector(tmp_path / 'a', tmp_path / 'data', seed=1, count=3)
    found = predict(tmp_path / 'a')
    assert (found['task'], found['total']) == ('detection', 3)
    assert found['images'] == [0, 1, 2]
    dataset = validation.dataset_of(validation.read_config(tmp_path / 'a'))
    model = tiny.build_detector(1).eval()
    loader = Runner.build_dataloader(
        dict(
            dataset=dataset,
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
        )
    )
    everything = []
    for at, data in enumerate(loader):
        with torch.no_grad():
            items = read_detections(model.val_step(data)[0])
        everything += items
        good = [item for item in items if item['score'] >= 0.2]
        assert len(found['found'][at]) == len(good) > 0
        for one, two in zip(found['found'][at], good):
            assert one['bbox'] == pytest.approx(two['bbox'], abs=1e-3)
            assert one['category_id'] == two['category_id']
    assert [[t['bbox'] for t in image] for image in found['truth']] == [
        [[5, 6, 30, 20]]
    ] * 3
    # All detections decide on the threshold, and count for the precision.
    assert found['threshold'] == 0.2
    assert sum(len(items) for _, items in judged) == len(everything)
    result = evaluate(read_truth(dataset, tiny.CLASSES), everything)
    assert found['score'] == pytest.approx(result['mAP'], abs=1e-6)
    assert found['classes'] == result['classes']


def test_classifier(tmp_path):
    write_classifier(tmp_path / 'a', seed=1)
    found = predict(tmp_path / 'a')
    assert (found['task'], found['total']) == ('classification', 6)
    assert found['truth'] == [0, 1, 2, 0, 1, 2]
    model = tiny_cls.build_classifier(1).eval()
    with torch.no_grad():
        samples = model.val_step(tiny_cls.batch(*range(6)))
    scores = torch.stack([sample.pred_score for sample in samples])
    assert found['found'] == scores.argmax(1).tolist()
    own = scores[range(6), found['truth']]
    assert found['trust'] == pytest.approx(own.tolist(), abs=1e-6)
    right = [a == b for a, b in zip(found['truth'], found['found'])]
    assert found['score'] == pytest.approx(100 * sum(right) / 6)
    assert found['classes']['cat'] == 50 * (right[0] + right[3])


def test_some_of_many_images(tmp_path, monkeypatch):
    monkeypatch.setitem(predictions.MOST_IMAGES, 'classification', 3)
    write_classifier(tmp_path / 'a', seed=1, count=7)
    found = predict(tmp_path / 'a')
    assert found['total'] == 7 and found['images'] == [0, 3, 6]
    assert found['truth'] == [0, 0, 0] and found['classes']['dog'] is None


def test_they_are_made_once(tmp_path, monkeypatch, capsys):
    folder = tmp_path / 'a'
    write_classifier(folder, seed=1)
    first = predict(folder)
    assert 'Predicting with' in capsys.readouterr().out
    assert predict(folder) == first
    assert capsys.readouterr().out == ''
    # Damaged, of other weights, of another limit: made anew.
    (folder / 'predictions.json').write_text('{"key": [')
    assert predict(folder) == first
    write_classifier(folder, seed=2)
    os.utime(folder / 'epoch_1.pth', ns=(1, 1))
    second = predict(folder)
    assert second['trust'] != first['trust']
    monkeypatch.setitem(predictions.MOST_IMAGES, 'classification', 2)
    assert len(predict(folder)['images']) == 2


def test_what_is_missing(tmp_path):
    folder = tmp_path / 'a'
    write_classifier(folder, seed=1)
    (folder / '2026' / 'vis_data' / 'config.py').unlink()
    with pytest.raises(Unusable, match='there is no .*config.py in'):
        predict(folder)
    (folder / 'epoch_1.pth').unlink()
    with pytest.raises(Unusable, match='epoch_1.pth is gone from'):
        predict(folder)
    (folder / 'last_checkpoint').unlink()
    with pytest.raises(Unusable, match='names no checkpoint'):
        predict(folder)


def test_images_are_those_of_the_data(tmp_path):
    write_classifier(tmp_path / 'a', seed=1)
    write_detector(tmp_path / 'b', tmp_path / 'data', seed=1)
    for name, size in (('a', (16, 16)), ('b', None)):
        (image,) = validation.open_images(tmp_path / name, [1])
        assert image.mode == 'RGB' and (size is None or image.size == size)
