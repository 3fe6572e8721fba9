"""A teacher whose answers are kept, without a runner."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmkd_plugin.datasets import InMemoryCIFAR100
from mmkd_plugin.taps.cls_head_tap import ClsHeadTap, class_logits
from mmkd_plugin.teachers import Teacher
from mmkd_plugin.teachers.cache.cached_teacher import FEWEST, CachedTeacher
from tests.helpers import tiny_cls
from tests.helpers.cached_runs import CLASSES, IMAGES, make_world, save_sheets


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    return SimpleNamespace(folder=folder, teacher=make_world(folder))


@pytest.fixture
def cached(world, tmp_path):
    """Makes a cached teacher; `changes` are of its `teacher`."""

    def make(data=None, student=None, **changes):
        cfg = {**world.teacher, 'cache': str(tmp_path / 'cache'), **changes}
        teacher = Teacher(**cfg)
        model = tiny_cls.build_classifier(seed=3, **(student or {}))
        teacher.prepare(model)
        teacher.match(CLASSES, 3, 3, 0)
        if data is None:
            data = pictures(world)
        return CachedTeacher(teacher, model, data, class_logits, 3)

    return make


def pictures(world, root=None, **settings):
    return InMemoryCIFAR100(
        str(root or world.folder / 'data'),
        padding=1,
        flip_prob=0.5,
        **settings,
    )


def batch_of(cached, *indices, variants=None):
    """The student's input for some pictures, and their samples."""
    if variants is None:
        batch = cached._data.__getitems__(list(indices))
    else:
        batch = cached._data.replay(list(indices), torch.tensor(variants))
    batch = cached._preprocessor(batch, True)
    return batch['inputs'], batch['data_samples']


def live(cached, batch):
    """What the teacher without a cache gives."""
    cached.teacher.see(*batch)
    return cached.teacher.logits(class_logits)


def given(cached, batch):
    cached.see(*batch)
    logits = cached.logits(class_logits)
    cached.forget()
    return logits


def without_a_teacher(monkeypatch, cached):
    """Let any call of the teacher's model fail."""
    monkeypatch.setattr(cached.teacher, 'see', None)


def test_the_same_batch_gives_the_same_bits(cached, monkeypatch):
    teacher = cached()
    batch = batch_of(teacher, *range(IMAGES))
    wanted = live(teacher, batch)
    assert torch.equal(given(teacher, batch), wanted)
    without_a_teacher(monkeypatch, teacher)
    assert torch.equal(given(teacher, batch), wanted)
    # In any order, and of a part.
    part = batch[0][[4, 1]], [batch[1][4], batch[1][1]]
    assert torch.equal(given(teacher, part), wanted[[4, 1]])


def test_each_crop_and_flip_has_its_row(cached):
    teacher = cached()
    variants = list(range(18))
    indices = [5] * 18
    batch = batch_of(teacher, *indices, variants=variants)
    wanted = live(teacher, batch)
    assert torch.equal(given(teacher, batch), wanted)
    assert teacher.store.filled().tolist() == list(range(5 * 18, 6 * 18))
    # They are of different pictures.
    assert len({tuple(row) for row in wanted.tolist()}) == 18


def test_only_what_is_missing_is_computed(cached, monkeypatch):
    teacher = cached()
    first = batch_of(teacher, *range(6), variants=[0] * 6)
    given(teacher, first)
    sizes, really = [], teacher.teacher.see

    def see(inputs, data_samples):
        sizes.append(len(inputs))
        really(inputs, data_samples)

    monkeypatch.setattr(teacher.teacher, 'see', see)
    variants = [0] * 6 + [1] * 30
    batch = batch_of(teacher, *range(6), *[7] * 30, variants=variants)
    wanted = live(teacher, batch)
    sizes.clear()
    torch.testing.assert_close(given(teacher, batch), wanted)
    assert sizes == [30]
    # A few are computed with others beside them.
    variants = [2] * 3 + [1] * 30
    batch = batch_of(teacher, *range(3), *[7] * 30, variants=variants)
    wanted = live(teacher, batch)
    sizes.clear()
    assert torch.equal(given(teacher, batch), wanted)
    assert sizes == [FEWEST]


def test_classes_in_another_order(world, cached, monkeypatch):
    """Kept as the teacher has them, and so for any student."""
    teacher = cached()
    batch = batch_of(teacher, *range(4))
    wanted = given(teacher, batch)
    without_a_teacher(monkeypatch, teacher)
    teacher.teacher.match(CLASSES[::-1], 3, 3, 0)
    assert torch.equal(given(teacher, batch), wanted.flip(1))


def test_precision(world, cached):
    """Its own, in the autocast of a student too."""
    teacher = cached()
    batch = batch_of(teacher, *range(IMAGES))
    wanted = live(teacher, batch)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(given(teacher, batch), wanted)
    with pytest.raises(ValueError, match='precision.* differ, precision bei'):
        cached(precision='bf16')


def test_half_precision_is_kept_exactly(cached):
    teacher = cached(precision='bf16')
    batch = batch_of(teacher, *range(IMAGES))
    wanted = live(teacher, batch)
    assert torch.equal(given(teacher, batch), wanted.float())
    assert '12 of 216 rows' in cached(precision='bf16').verify()


def test_verify(cached):
    teacher = cached()
    assert '0 of 216 rows of logits (0.0%); 0 were' in teacher.verify()
    given(teacher, batch_of(teacher, *range(IMAGES)))
    torch.manual_seed(1)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert '12 of 216 rows of logits (5.6%); 8 were' in teacher.verify()
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.random.get_state()[1].tolist() == state[1]
    assert teacher.teacher.model is not None


@pytest.mark.parametrize('wrong', [lambda x: x + 0.05, lambda x: x * np.nan])
def test_rows_of_something_else(cached, wrong):
    teacher = cached()
    batch = batch_of(teacher, *range(IMAGES))
    logits = given(teacher, batch).numpy()
    rows = teacher._rows(batch[1])
    teacher.store.write(rows, wrong(logits))
    with pytest.raises(ValueError, match='8 of 8 rows .* differ by'):
        cached().verify()


def fill(teacher):
    """Compute all rows."""
    variants = torch.arange(18).repeat(IMAGES).tolist()
    indices = torch.arange(IMAGES).repeat_interleave(18).tolist()
    batch = batch_of(teacher, *indices, variants=variants)
    return batch, given(teacher, batch)


def test_full(cached, monkeypatch):
    """The model is freed; a damaged row is computed at the next start."""
    batch, wanted = fill(cached())
    teacher = cached()
    assert teacher.verify().endswith('the teacher is not needed any more')
    assert teacher.teacher.model is None
    assert torch.equal(given(teacher, batch), wanted)
    begin = teacher.store._logits.offset
    with open(teacher.store.folder / 'logits.npy', 'r+b') as file:
        file.seek(begin + 12 * 100)
        file.write(b'abc')
    with pytest.raises(RuntimeError, match='damaged in 1 of 216 rows of this'):
        teacher.see(*batch)
    teacher = cached()
    assert '215 of 216' in teacher.verify()
    torch.testing.assert_close(given(teacher, batch), wanted)
    assert teacher.store.read(np.array([100]))[1].all()


def refused(message):
    return pytest.raises(
        ValueError, match=f'those of this training: {message}'
    )


def test_another_teacher(world, cached, tmp_path):
    cached()
    other = tiny_cls.save_teacher(tmp_path / 't.pth', 8, classes=CLASSES)
    with refused('weights differ, weights being .* there and .* now: let'):
        cached(**other)
    other['config']['model'].data_preprocessor.mean = [1, 2, 3]
    other['checkpoint'] = world.teacher['checkpoint']
    with refused('config, preprocessing differ'):
        cached(**other)
    with refused('classes differ'):
        cached(classes=CLASSES[::-1])
    with refused(r'input_size differ, input_size being None there and \[16'):
        cached(input_size=(16, 16))


def test_another_student(cached):
    cached()
    with refused('student_preprocessing differ'):
        cached(student=dict(mean=[1, 2, 3]))


def test_other_data(world, cached, tmp_path):
    cached()
    cached(pictures(world))
    data = InMemoryCIFAR100(str(world.folder / 'data'), padding=2)
    with refused('padding, flips, rows differ, padding being 1 there and 2'):
        cached(data)
    # Another probability leads to the same pictures.
    data = pictures(world)
    data.flip_prob = 0.3
    cached(data)
    with refused('data differ'):
        cached(pictures(world, save_sheets(tmp_path / 'other', seed=9)))
    data = pictures(world)
    data.labels[3] = 2
    with refused('data differ'):
        cached(data)


def test_other_versions(cached, monkeypatch):
    cached()
    monkeypatch.setattr(torch, '__version__', '1.0')
    with refused("versions differ, versions being {'torch'"):
        cached()


@pytest.mark.parametrize('text', ['', '{', '[]', '{"a": 1}', '[' * 100_000])
def test_damaged_manifest(cached, text):
    path = cached().store.folder / 'manifest.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='cannot be read|differ'):
        cached()


def test_format_of_the_manifest(cached):
    path = cached().store.folder / 'manifest.json'
    content = json.loads(path.read_text())
    assert list(content)[0] == 'format'
    path.write_text(json.dumps({**content, 'format': 0}))
    with refused('format differ, format being 0 there and 1'):
        cached()


def test_mixed_images(cached):
    augments = dict(augments=dict(type='Mixup', alpha=0.8))
    with pytest.raises(ValueError, match='`batch_augments`, and the logits'):
        cached(student=dict(batch_augments=augments))
    # Of a hook that begins to mix them later.
    teacher = cached()
    batch = batch_of(teacher, 1, 2)
    teacher._preprocessor.batch_augments = lambda inputs, scores: None
    with pytest.raises(ValueError, match='`batch_augments`, and the logits'):
        teacher.see(*batch)


@pytest.mark.parametrize('name', ['sample_idx', 'variant'])
def test_pictures_without_numbers(cached, name):
    teacher = cached()
    inputs, samples = batch_of(teacher, 1, 2)
    samples[1].pop(name)
    with pytest.raises(TypeError, match=f'no attribute .{name}.*: train with'):
        teacher.see(inputs, samples)
    with pytest.raises(TypeError, match="'NoneType' .*: train with"):
        teacher.see(inputs, None)


def test_random_data_without_numbers(cached):
    with pytest.raises(TypeError, match='has 0 ReplayedResizedCrop in its'):
        cached(tiny_cls.Pictures())


def test_other_questions(cached):
    teacher = cached()
    teacher.see(*batch_of(teacher, 1, 2))
    with pytest.raises(TypeError, match='class_logits, but got other: take'):
        teacher.logits(other)


def other(model, features):
    """A question that is not cached."""


def test_no_images(cached):
    teacher = cached()
    inputs, _ = batch_of(teacher, 1)
    assert given(teacher, (inputs[:0], [])).shape == (0, 3)


def test_the_question_of_the_tap():
    assert ClsHeadTap().question is class_logits
