"""Building a teacher and fitting it to a student."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import TASK_UTILS

import mmkd_plugin  # noqa: F401, registers the tap
from mmkd_plugin.teachers import teacher as T
from tests.helpers import tiny
from tests.helpers.teachers import Shown, answer, asked_by


@pytest.fixture
def saved(tmp_path):
    return tiny.save_teacher(tmp_path / 't.pth')


@pytest.fixture
def tap():
    return TASK_UTILS.build(dict(type='RoIHeadTap'))


def test_built_as_saved_frozen_and_in_eval(saved):
    model = T.Teacher(**saved).model
    state = torch.load(saved['checkpoint'])['state_dict']
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(m.training for m in model.modules())


def test_data_preprocessor_beside_the_model(saved):
    """Where MMEngine's runner finds it, as in mmpretrain's configs."""
    config = saved['config']
    wanted = config['model'].pop('data_preprocessor')
    config['data_preprocessor'] = wanted
    found = T.Teacher(**saved).model.data_preprocessor
    assert found.mean.flatten().tolist() == pytest.approx(wanted['mean'])
    assert 'data_preprocessor' not in config['model']


def test_building_draws_no_random_numbers(saved):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    T.Teacher(**saved)
    assert torch.equal(torch.rand(2), wanted)


def test_config_as_dict_path_and_name(saved, tmp_path):
    path = tmp_path / 'teacher.py'
    Config(saved['config']).dump(path)
    by_dict = T.load_config(saved['config'])
    by_path = T.load_config(str(path))
    assert by_dict.model == by_path.model
    name = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    assert T.load_config(name).model.backbone.depth == 50


@pytest.mark.parametrize(
    'config, error, message',
    [
        ('no/such.py', FileNotFoundError, 'no/such.py'),
        ('mmdet::no/such.py', FileNotFoundError, 'mmdet/.mim/configs/no'),
        ('nowhere::x.py', FileNotFoundError, "'nowhere'"),
        (dict(lr=1), ValueError, r"keys \['lr'\]"),
        (3, TypeError, 'but got int'),
    ],
)
def test_wrong_config(config, error, message):
    with pytest.raises(error, match=message):
        T.load_config(config)


def test_config_in_a_folder_that_is_no_package(tmp_path, monkeypatch):
    (tmp_path / 'folder').mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match="'folder::x.py' was not"):
        T.load_config('folder::x.py')


def forward(student, tap, *indices):
    """What the hook has at hand after a forward of the student."""
    tap.attach(student, student)
    data = student.data_preprocessor(tiny.batch(*indices), True)
    student(**data, mode='loss')
    return asked_by(tap), data['inputs'], data['data_samples']


@pytest.mark.parametrize(
    'precision, dtype',
    [
        ('same', torch.float32),
        ('fp32', torch.float32),
        ('bf16', torch.bfloat16),
        ('fp16', torch.float16),
    ],
)
def test_precision(saved, tap, precision, dtype):
    student = tiny.build_detector().train()
    teacher = T.Teacher(**saved, precision=precision)
    teacher.prepare(student)
    ask, *batch = forward(student, tap, 0)
    extractor = teacher.model.roi_head.bbox_roi_extractor
    seen = []
    extractor.register_forward_pre_hook(
        lambda module, args: seen.append(args[0][0].dtype)
    )
    exact = T.Teacher(**saved)
    exact.prepare(student)
    logits = answer(teacher, ask, *batch)
    assert logits.dtype == dtype
    assert seen == [torch.float32]
    torch.testing.assert_close(
        logits.float(),
        answer(exact, ask, *batch),
        rtol=0.1,
        atol=0.1,
    )


def test_fp32_teacher_ignores_autocast(saved, tap):
    student = tiny.build_detector().train()
    ask, *batch = forward(student, tap, 0)
    teacher = T.Teacher(**saved, precision='fp32')
    teacher.prepare(student)
    plain = answer(teacher, ask, *batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(answer(teacher, ask, *batch), plain)


@pytest.mark.parametrize('device', ['refuses', 'ignores'])
def test_device_without_the_precision(saved, monkeypatch, device):
    """Said before training, whether autocast raises or does nothing."""

    def conv2d(images, weight):
        if device == 'refuses':
            raise RuntimeError('"slow_conv2d" not implemented for "Half"')
        return images

    monkeypatch.setattr(torch, 'conv2d', conv2d)
    teacher = T.Teacher(**saved, precision='fp16')
    with pytest.raises(ValueError, match="set `precision='fp32'`"):
        teacher.prepare(tiny.build_detector())


def test_unknown_precision(saved):
    with pytest.raises(ValueError, match="but got 'int8'"):
        T.Teacher(**saved, precision='int8')


def test_classes_are_matched_by_name(saved, tap, tmp_path):
    """A student of two classes, in another order than the teacher's."""
    student = tiny.build_detector(num_classes=2).train()
    teacher = T.Teacher(**saved, classes=tiny.CLASSES)
    teacher.prepare(student)
    teacher.match(('owl', 'cat'), 2, 3, 1)
    ask, *batch = forward(student, tap, 4)
    # Without labels for a class that the student does not know.
    logits = answer(teacher, ask, *batch)
    whole = Shown(teacher.model, batch[0]).answer(ask)
    assert torch.equal(logits, whole[:, [2, 0, 3]])
    assert not logits.requires_grad


def test_each_question_is_answered_once(saved):
    """Until the teacher sees other images."""
    student = tiny.build_detector().train()
    teacher = T.Teacher(**saved)
    teacher.prepare(student)
    inputs = student.data_preprocessor(tiny.batch(0), True)['inputs']
    calls = []

    def ask(model, features):
        calls.append(features[0].requires_grad)
        return features[0].sum()

    for count in (1, 2):
        teacher.see(inputs)
        assert teacher.answer(ask) is teacher.answer(ask)
        assert calls == [False] * count


def test_predictions_are_renamed(saved, tap):
    student = tiny.build_detector(num_classes=2)
    teacher = T.Teacher(**saved, classes=tiny.CLASSES)
    teacher.prepare(student)
    teacher.match(('owl', 'cat'), 2, 3, 1)
    outputs = teacher.model.test_step(tiny.batch(0, 1))
    before = [output.pred_instances.labels.clone() for output in outputs]
    assert any(len(labels) for labels in before)
    teacher.relabel(outputs)
    for output, labels in zip(outputs, before):
        wanted = [{2: 0, 0: 1}[n] for n in labels.tolist() if n != 1]
        assert output.pred_instances.labels.tolist() == wanted


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
def test_classes_come_from_checkpoint(tmp_path, saved, key):
    content = torch.load(saved['checkpoint'])
    meta = dict(CLASSES=tiny.CLASSES)
    if key == 'classes':
        meta = dict(dataset_meta=dict(classes=list(tiny.CLASSES)))
    path = tmp_path / 'with_meta.pth'
    torch.save(dict(state_dict=content['state_dict'], meta=meta), path)
    teacher = T.Teacher(saved['config'], str(path))
    assert teacher.classes == tiny.CLASSES


def test_classes_come_from_config(saved):
    config = dict(
        saved['config'],
        train_dataloader=dict(dataset=dict(metainfo=dict(classes=['a']))),
    )
    teacher = T.Teacher(config, saved['checkpoint'])
    assert teacher.classes == ('a',)
