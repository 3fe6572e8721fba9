"""SimKD: a student with the teacher's classifier behind a projector."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, MODELS, DefaultScope
from torch import nn

from mmkd_plugin import Distiller
from mmkd_plugin.checkpoints.unpickling import load_from_local
from mmkd_plugin.cli.method_option import use_method
from mmkd_plugin.teachers import Teacher
from mmkd_plugin.teachers.config import load_config
from tests.helpers import tiny_cls
from tests.helpers.cls_configs import PAIRS, read
from tests.helpers.commands import run_tool, teachers, world  # noqa: F401
from tests.helpers.det_configs import CONFIGS
from tests.helpers.doc_examples import DOCS, examples

FRAGMENT = Config.fromfile(CONFIGS / '_base_/methods/simkd.py').to_dict()
DISTILL = FRAGMENT['distill']


def model_cfg(width=2, teacher_width=4):
    """A narrow student with the head of its teacher."""
    cfg = tiny_cls.classifier_cfg(width).to_dict()
    cfg['neck'] = copy.deepcopy(FRAGMENT['model']['neck'])
    cfg['neck'][0].update(
        in_channels=2 * width, out_channels=2 * teacher_width
    )
    cfg['head']['in_channels'] = 2 * teacher_width
    return cfg


def build(**widths):
    tiny_cls.build_classifier()
    torch.manual_seed(3)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(ConfigDict(model_cfg(**widths)))


def state(model, part):
    return {
        name: value
        for name, value in model.items()
        if name.startswith(f'{part}.')
    }


def test_logits_are_the_teachers_where_the_map_is():
    """Of a projector that changes nothing, on the teacher's backbone."""
    student, teacher = build(width=4).eval(), tiny_cls.build_classifier(7)
    student.backbone.load_state_dict(teacher.backbone.state_dict())
    student.head.load_state_dict(teacher.head.state_dict())
    student.neck[0] = nn.Identity()
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        expected = teacher.eval()(images)
        assert torch.equal(student(images), expected)
    assert expected.std() > 0.1


@pytest.mark.parametrize('width', [2, 4, 5])
def test_term_is_the_distance_of_the_projected_map(tmp_path, width):
    cfg = tiny_cls.save_teacher(tmp_path / 'teacher.pth')
    student = build(width=width).train()
    losses = copy.deepcopy(DISTILL['losses'])
    distiller = Distiller(losses, task_loss=DISTILL['task_loss'])
    distiller.attach(student, [Teacher(**cfg)], tiny_cls.CLASSES)
    seen = []
    student.neck[0].register_forward_hook(
        lambda module, args, output: seen.append(output[0])
    )
    data = student.data_preprocessor(tiny_cls.batch(0, 1, 2), True)
    output = student(**data, mode='loss')
    twin = tiny_cls.build_classifier(7).eval()
    with torch.no_grad():
        (target,) = twin.backbone(data['inputs'])
    expected = (seen[0] - target).square().mean()
    torch.testing.assert_close(output['loss_simkd'], expected)
    loss, _ = student.parse_losses(output)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for name, parameter in student.named_parameters():
        grad = parameter.grad
        trained = grad is not None and bool(grad.ne(0).any())
        assert trained != name.startswith('head.'), name


def train(w, **changes):
    """Train a student, and write the config that it is tested by."""
    hook = w.hook(**copy.deepcopy(DISTILL))
    data = w.loader(dict(length=8), batch_size=4)
    evaluation = dict(
        test_dataloader=data,
        test_cfg=dict(),
        test_evaluator=dict(type='Accuracy', topk=1),
    )
    ended = w.train(
        hook,
        model=model_cfg(),
        train_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1),
            **FRAGMENT['optim_wrapper'],
        ),
        **{**evaluation, **changes},
    )
    assert ended.code == 0, ended.output[-3000:]
    return load_from_local('work/epoch_3.pth')


def test_training_leaves_the_teachers_head_as_it_is(world):  # noqa: F811
    saved = train(world)
    found = saved['state_dict']
    teacher = load_from_local('teacher.pth')['state_dict']
    head = state(teacher, 'head')
    assert len(head) == 2
    for name, value in head.items():
        assert found[name].equal(value), name
    first = load_from_local('work/epoch_1.pth')['state_dict']
    for part in ('backbone.conv1', 'neck.0'):
        before, after = state(first, part), state(found, part)
        assert after and not all(
            after[name].equal(value) for name, value in before.items()
        )
    assert 'distill' not in saved


def test_what_is_saved_runs_without_the_teacher(world):  # noqa: F811
    saved = train(world)
    for name in ('teacher.pth', 'teacher.py'):
        Path(name).unlink()
    ended = run_tool(
        'test', 'config.py', 'work/epoch_3.pth', '--work-dir', 'tested'
    )
    assert ended.code == 0, ended.output[-3000:]
    (written,) = Path('tested').glob('*/*.json')
    assert 'accuracy/top1' in written.read_text()
    model = build().eval()
    model.load_state_dict(saved['state_dict'])
    images = torch.randn(2, 3, 16, 16)
    (maps,) = model.backbone(images)
    rows = model.neck[0].layers(maps).mean(dim=(2, 3))
    torch.testing.assert_close(
        model(images), nn.functional.linear(rows, *model.head.fc.parameters())
    )


def test_page_has_the_settings_of_the_fragment():
    (example,) = examples(DOCS / 'methods/simkd.md')
    page = {}
    exec(example.code, page)
    ((entry,), expected) = page['custom_hooks'], dict(DISTILL)
    assert entry == dict(expected, teacher=dict(config=..., checkpoint=...))
    for key in ('model', 'optim_wrapper'):
        assert page[key] == FRAGMENT[key]


@pytest.mark.parametrize('name', PAIRS)
def test_channels_of_the_pairs(name):
    """Those that the heads of both read."""
    cfg = copy.deepcopy(read(name))
    student = cfg.model.head.in_channels
    teacher = load_config(cfg.teacher.config).model.head.in_channels
    use_method(cfg, 'simkd')
    projector, pooling = cfg.model.neck
    assert (projector.in_channels, projector.out_channels) == (
        student,
        teacher,
    )
    assert pooling == dict(type='GlobalAveragePooling')
    assert cfg.model.head.in_channels == teacher
    assert HOOKS.build(cfg.custom_hooks[0]).distiller.task_loss is False


def test_number_of_parameters():
    cfg = copy.deepcopy(read('cifar100/resnet32x4_resnet8x4'))
    alone = copy.deepcopy(cfg.model)
    use_method(cfg, 'simkd')
    tiny_cls.build_classifier()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        counts = [
            sum(p.numel() for p in MODELS.build(each).parameters())
            for each in (alone, cfg.model)
        ]
    assert counts == [1_233_540, 1_233_540 + 214_016]
