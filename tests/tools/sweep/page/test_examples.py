"""What is compared image by image, and what is said where it is not."""

import json

import pytest
import torch
from page import examples

from tests.helpers.sweep_pages import gains, make_data
from tests.helpers.trained import write_classifier

TOP1 = 'accuracy/top1'


@pytest.fixture
def data(tmp_path):
    """Three runs of classifiers, two seeds each; kd is the best."""
    runs = dict(
        student=gains(0, 0, base=50),
        kd=gains(2, 3, base=50),
        ckd=gains(1, 1, base=50),
    )
    data = make_data(tmp_path, runs, metric=TOP1)
    for at, name in enumerate(runs):
        write_classifier(tmp_path / name / 'seed_0', seed=at)
    return data


def test_what_is_shown(data):
    found = examples.make_examples(data, 'student')
    assert found['sentences'][0] == (
        'One seed (0), on all 6 validation images, with the last checkpoints.'
    )
    assert (found['seed'], found['method']) == (0, 'kd')
    assert found['columns'] == ['student', 'kd', 'ckd']
    assert [row[0] for row in found['classes']] == ['cat', 'dog', 'owl']
    models = {
        name: json.loads(
            (data.out / name / 'seed_0' / 'predictions.json').read_text()
        )
        for name in ('student', 'kd')
    }
    right = {
        name: [a == b for a, b in zip(one['truth'], one['found'])]
        for name, one in models.items()
    }
    better = sum(b > a for a, b in zip(right['student'], right['kd']))
    worse = sum(b < a for a, b in zip(right['student'], right['kd']))
    assert found['counts'] == (better, worse)
    assert len(found['improved']) == better
    assert len(found['harmed']) == worse


def test_a_checkpoint_that_is_not_that_of_the_training(data):
    # The values were made up, so no run fits.
    sentences = examples.make_examples(data, 'student')['sentences']
    assert len(sentences) == 4
    assert sentences[1].startswith('student: the checkpoint gives ')
    assert sentences[1].endswith(f'but {TOP1} was 50 in the training.')
    path = data.out / 'student' / 'seed_0' / 'predictions.json'
    data.rows['student']['last'][0] = json.loads(path.read_text())['score']
    sentences = examples.make_examples(data, 'student')['sentences']
    assert [text.partition(':')[0] for text in sentences[1:]] == ['kd', 'ckd']


def test_the_best_without_checkpoint(data):
    (data.out / 'kd' / 'seed_0' / 'epoch_1.pth').unlink()
    found = examples.make_examples(data, 'student')
    assert found['method'] == 'ckd' and found['columns'] == ['student', 'ckd']
    assert any(
        text.startswith('kd is not shown: the checkpoint epoch_1.pth is gone')
        for text in found['sentences']
    )


def test_the_baseline_without_checkpoint(data):
    (data.out / 'student' / 'seed_0' / 'epoch_1.pth').unlink()
    found = examples.make_examples(data, 'student')
    assert [*found] == ['sentences']
    assert found['sentences'][-1] == 'So there is nothing to compare.'


def test_weights_of_another_model(data):
    path = data.out / 'kd' / 'seed_0' / 'epoch_1.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), path)
    sentences = examples.make_examples(data, 'student')['sentences']
    assert any(text.startswith('kd is not shown: ') for text in sentences)


def test_other_images(data):
    write_classifier(data.out / 'kd' / 'seed_0', seed=1, count=5)
    found = examples.make_examples(data, 'student')
    assert found['columns'] == ['student', 'ckd']
    assert (
        'kd is not shown: it was validated on other images.'
        in (found['sentences'])
    )


def test_images_that_are_gone(data, monkeypatch):
    def gone(*args):
        raise FileNotFoundError('a.png')

    monkeypatch.setattr(examples.pictures, 'open_images', gone)
    found = examples.make_examples(data, 'student')
    assert 'figure' in found and 'counts' not in found
    assert found['sentences'][-1] == (
        'There are no pictures: FileNotFoundError: a.png.'
    )


def test_no_common_seed(tmp_path):
    data = make_data(tmp_path, dict(student=gains(0), kd={1: [0.1, 0.2]}))
    assert examples.make_examples(data, 'student') == dict(
        sentences=['No method has finished a common seed.']
    )
