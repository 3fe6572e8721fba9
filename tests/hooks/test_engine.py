"""The hook beside other features of the engine."""

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, HOOKS, MODELS

from tests.helpers import tiny
from tests.helpers.detector_runs import (
    connect,
    hook_cfg,
    losses_of,
    make_runner,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def teacher(tmp_path):
    return tiny.save_teacher(tmp_path / 'teacher.pth', width=16)


@pytest.fixture
def student(teacher):
    model = tiny.build_detector().train()
    connect(HOOKS.build(hook_cfg(teacher)), model)
    return model


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def backward(model, *indices, share=1.0):
    """Back-propagate a share of the loss of some images."""
    torch.manual_seed(4)  # RoIs are sampled at random
    losses = losses_of(model, *indices)
    loss, _ = model.parse_losses(losses)
    (share * loss).backward()
    return losses


def steps(model, wrapper, *batches):
    """Let the engine train on some batches; change of the weights."""
    before = flat(model.parameters())
    wrapper.initialize_count_status(model, 0, len(batches))
    for indices in batches:
        torch.manual_seed(4)
        model.train_step(tiny.batch(*indices), wrapper)
    return flat(model.parameters()) - before


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast(student, dtype):
    """Of the parts of the student that have a kernel on the CPU."""
    seen = []
    # On the CPU, NMS has no kernel for half precision.
    student.rpn_head.register_forward_hook(
        lambda module, args, outputs: tuple(
            [level.float() for level in output] for output in outputs
        )
    )
    student.roi_head.bbox_head.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].dtype)
    )
    with torch.autocast('cpu', dtype):
        losses = losses_of(student, 0, 1)
    # In bfloat16 RoIAlign has no kernel on any device.
    assert seen[0] == {torch.bfloat16: torch.float32}.get(dtype, dtype)
    term = losses['loss_kd'] + losses['loss_ckd']
    assert term.dtype == torch.float32
    assert losses['loss_kd'] > 0
    term.backward()
    for part in (student.backbone.conv1, student.roi_head.bbox_head.fc_cls):
        assert part.weight.grad.isfinite().all()
        assert part.weight.grad.ne(0).any()


def test_accumulation_is_the_mean_of_the_gradients(student):
    backward(student, 0, 1, share=0.5)
    backward(student, 2, 3, share=0.5)
    expected = -0.1 * flat(p.grad for p in student.parameters())
    student.zero_grad()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    change = steps(student, wrapper, (0, 1), (2, 3))
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-7)


def test_clipping_sees_the_terms(student):
    backward(student, 0, 1)
    grad = flat(p.grad for p in student.parameters())
    student.zero_grad()
    optimizer = torch.optim.SGD(student.parameters(), lr=1.0)
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=0.5))
    change = steps(student, wrapper, (0, 1))
    assert grad.norm() > 1
    torch.testing.assert_close(
        change, -0.5 * grad / grad.norm(), rtol=1e-3, atol=1e-6
    )


def test_average_holds_no_hook(tmp_path, teacher):
    runner = make_runner(
        tmp_path,
        [
            hook_cfg(teacher),
            dict(type='EMAHook', ema_type='ExponentialMovingAverage'),
        ],
    )
    runner.train()
    (ema,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    average = ema.ema_model.module
    assert [type(m) for m in average.modules()] == [
        type(m) for m in tiny.build_detector().modules()
    ]
    for module in average.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_activation_checkpointing(tmp_path, teacher):
    checkpointed = tiny.detector_cfg()
    checkpointed.backbone.with_cp = True
    weights = []
    for name, kwargs in (
        ('plain', {}),
        (
            'checkpointed',
            dict(
                model=checkpointed,
                activation_checkpointing=['roi_head.bbox_head'],
            ),
        ),
    ):
        runner = make_runner(tmp_path / name, [hook_cfg(teacher)], **kwargs)
        runner.train()
        weights.append(flat(runner.model.parameters()))
        values = runner.message_hub.log_scalars['train/loss_kd'].data[0]
        assert len(values) == 4
        assert min(values) > 0
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


def test_checkpointing_that_cuts_the_graph_is_refused(tmp_path, teacher):
    """MMEngine detaches what gets its tensors in a list, and says nothing."""
    runner = make_runner(
        tmp_path,
        [hook_cfg(teacher)],
        activation_checkpointing=[
            'roi_head.bbox_roi_extractor',
            'roi_head.bbox_head',
        ],
    )
    with pytest.raises(
        RuntimeError,
        match='cut off from the graph by `activation_checkpointing`',
    ):
        runner.train()


def test_channels_last(student):
    expected = backward(student, 0, 1)
    grad = flat(p.grad for p in student.parameters())
    student.zero_grad()
    student.to(memory_format=torch.channels_last)
    prepare = student.data_preprocessor.forward

    def forward(*args):
        data = prepare(*args)
        images = data['inputs'].contiguous(memory_format=torch.channels_last)
        return {**data, 'inputs': images}

    student.data_preprocessor.forward = forward
    losses = backward(student, 0, 1)
    weight = student.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for name in ('loss_kd', 'loss_ckd'):
        torch.testing.assert_close(losses[name], expected[name])
    torch.testing.assert_close(
        flat(p.grad for p in student.parameters()), grad, rtol=1e-3, atol=1e-5
    )


@MODELS.register_module()
class SmallDetector(BaseModel):
    """As little as RoIHeadTap needs, since compiling takes long."""

    def __init__(self):
        super().__init__(dict(type='BaseDataPreprocessor'))
        self.backbone = torch.nn.Conv2d(3, 4, 3)
        self.roi_head = torch.nn.Module()
        self.roi_head.bbox_roi_extractor = Crop()
        self.roi_head.bbox_head = Head()
        self.roi_head._bbox_forward = lambda features, rois: dict(
            cls_score=self.classify(features, rois)[0]
        )

    def extract_feat(self, inputs):
        return [self.backbone(inputs).relu()]

    def classify(self, features, rois):
        head = self.roi_head
        return head.bbox_head(head.bbox_roi_extractor(features, rois))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        rois = torch.zeros(len(inputs), 5)
        scores = self.classify(self.extract_feat(inputs), rois)[0]
        loss = self.roi_head.bbox_head.loss_cls(scores, data_samples)
        return dict(loss_cls=loss)


class Crop(torch.nn.Module):
    def forward(self, features, rois):
        return features[0].mean((2, 3))


class Head(torch.nn.Module):
    num_classes = 2

    def __init__(self):
        super().__init__()
        self.fc_cls = torch.nn.Linear(4, 3)
        self.loss_cls = Loss()

    def forward(self, rows):
        return self.fc_cls(rows), None


class Loss(torch.nn.Module):
    def forward(self, cls_score, label):
        return torch.nn.functional.cross_entropy(cls_score, label)


@DATASETS.register_module()
class Squares(torch.utils.data.Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index >= 8:
            raise IndexError(index)
        generator = torch.Generator().manual_seed(index)
        return dict(
            inputs=torch.randn(3, 8, 8, generator=generator),
            data_samples=index % 3,
        )


def test_compiled_step_has_the_terms(tmp_path):
    torch.manual_seed(7)
    torch.save(SmallDetector().state_dict(), tmp_path / 't.pth')
    teacher = dict(
        config=dict(model=dict(type='SmallDetector')),
        checkpoint=str(tmp_path / 't.pth'),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Squares'),
        collate_fn=dict(type='default_collate'),
    )
    runs = []
    for compile_cfg in (False, dict(backend='aot_eager')):
        torch.compiler.reset()
        runner = make_runner(
            tmp_path / str(bool(compile_cfg)),
            [hook_cfg(teacher, end=2)],
            epochs=3,
            model=dict(type='SmallDetector'),
            train_dataloader=loader,
            compile=compile_cfg,
        )
        runner.train()
        terms = [
            runner.message_hub.log_scalars[f'train/{name}'].data[0]
            for name in ('loss_kd', 'loss_ckd')
        ]
        runs.append(
            (flat(runner.model.parameters()), *map(torch.tensor, terms))
        )
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] > 0
    torch.testing.assert_close(*runs)
    assert runs[1][1][:8].gt(0).all()
    assert runs[1][1][8:].eq(0).all()
