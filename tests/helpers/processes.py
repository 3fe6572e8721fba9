"""Groups of gloo processes on this machine, and what they check.

One group runs all checks of its size, since starting one costs seconds.
"""

import functools
import http.server
import json
import os
import threading
import traceback
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.losses import CKDLoss
from tests.helpers import tiny
from tests.helpers.detector_runs import connect, hook_cfg, make_runner
from tests.helpers.loss_cases import LOSSES, draw

CHECKS = {2: [], 4: []}


def in_group_of(size):
    """Have a group of processes run a function of a folder of its own."""

    def register(check):
        CHECKS[size].append(check)
        return check

    return register


def work(rank, size, folder):
    """Body of one process: run the checks, up to the first that fails."""
    torch.set_num_threads(1)
    os.environ.update(
        LOCAL_RANK=str(rank),
        TORCH_HOME=f'{folder}/home',
        no_proxy='127.0.0.1',
    )
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=120),
    )
    results = {}
    for check in CHECKS[size]:
        place = Path(folder, check.__name__)
        place.mkdir(exist_ok=True)
        try:
            check(place)
        except Exception:
            results[check.__name__] = traceback.format_exc()
            break
        results[check.__name__] = 'passed'
    Path(folder, f'{rank}.json').write_text(json.dumps(results))
    # Left by those that passed only: the others wait for nobody.
    if all(result == 'passed' for result in results.values()):
        dist.barrier()
    dist.destroy_process_group()


def everywhere(value):
    """What each process has, in the order of the ranks."""
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def gradients(model):
    return flat(p.grad for p in model.parameters())


# Losses alone, behind one layer.


def train_layer(loss, inputs, teacher, labels, weights, wrap):
    """Value of a loss and gradients of the layer that it trains."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 7)
    module = DistributedDataParallel(layer) if wrap else layer
    value = loss(module(inputs), teacher, labels, weights)
    value.backward()
    return value.detach(), gradients(layer)


@in_group_of(4)
def check_equal_shares_equal_the_whole(folder):
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    _, teacher, labels = draw(20, 7, seed=2)
    own = slice(5 * dist.get_rank(), 5 * dist.get_rank() + 5)
    for case in LOSSES.values():
        numbers = {**case.numbers, **case.in_shares, 'loss_weight': 0.5}
        loss = case.module(**numbers)
        batch = (inputs, teacher, labels)
        value, grad = train_layer(
            loss, *(tensor[own] for tensor in batch), None, wrap=True
        )
        value = sum(everywhere(value)) / 4
        loss.gather = False
        expected = train_layer(loss, *batch, None, wrap=False)
        torch.testing.assert_close((value, grad), expected)


@in_group_of(4)
def check_ckd_of_ragged_shares_equals_the_whole(folder):
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    _, teacher, labels = draw(20, 7, seed=2)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0] * 4)
    for counts in ([5, 0, 3, 1], [0, 0, 2, 0], [1, 1, 1, 1], [9, 5, 4, 2]):
        total = sum(counts)
        start = sum(counts[: dist.get_rank()])
        own = slice(start, start + counts[dist.get_rank()])
        for weight in (None, weights, weights * 0):
            batch = (inputs, teacher, labels)
            whole = [x[:total] for x in batch]
            parts = [x[own] for x in batch]
            w = (
                (None, None)
                if weight is None
                else (weight[:total], weight[own])
            )
            for same in (True, False):
                loss = functools.partial(
                    CKDLoss,
                    tau=0.5,
                    loss_weight=0.3,
                    same_class_negatives=same,
                )
                found = train_layer(loss(gather=True), *parts, w[1], wrap=True)
                expected = train_layer(loss(), *whole, w[0], wrap=False)
                torch.testing.assert_close(found, expected)


@in_group_of(4)
def check_ckd_of_nothing_at_all(folder):
    student = torch.zeros(0, 7, requires_grad=True)
    value = CKDLoss(gather=True)(student, student.detach(), None)
    value.backward()
    assert value.item() == 0
    assert student.grad.shape == (0, 7)


@in_group_of(4)
def check_half_precision_is_summed_in_full(folder):
    student, teacher, labels = draw(8, 7, seed=3)
    own = slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    part = student[own].half().requires_grad_()
    CKDLoss(gather=True)(part, teacher[own].half(), None).backward()
    whole = student.half().requires_grad_()
    CKDLoss()(whole, teacher.half(), None).backward()
    # Of a sum over four processes, where DDP takes a mean.
    torch.testing.assert_close(part.grad, 4 * whole.grad[own])


@in_group_of(4)
def check_a_value_that_is_not_finite_is_so_everywhere(folder):
    """So all leave the term out, or none."""
    student, teacher, _ = draw(3, 7, seed=dist.get_rank())
    if dist.get_rank() == 2:
        teacher[0] = torch.nan
    value = CKDLoss(gather=True)(student.requires_grad_(), teacher, None)
    assert value.isnan()


# Whole training runs.


@DATASETS.register_module()
class RaggedBoxes(tiny.Boxes):
    """Without objects in the images of the last two of four processes."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index % 4 >= 2:
            objects = sample['data_samples'].gt_instances
            sample['data_samples'].gt_instances = objects[:0]
        return sample


@in_group_of(4)
def check_ranks_stay_identical(folder):
    """Few RoIs, other few, none with an object, none at all."""
    rank = dist.get_rank()
    if rank == 0:
        tiny.save_teacher(folder / 't.pth', width=16)
    dist.barrier()
    teacher = dict(
        config=dict(default_scope='mmdet', model=tiny.detector_cfg(width=16)),
        checkpoint=str(folder / 't.pth'),
    )
    model = tiny.detector_cfg()
    model.train_cfg.rpn_proposal.update(
        nms=dict(type='nms', iou_threshold=0.1),
        min_bbox_size=1e6 if rank == 3 else 0,
    )
    model.train_cfg.rcnn.sampler.num = 512
    start = flat(tiny.build_detector().parameters())
    for unused, steps, gather in (
        (False, 1, True),
        (True, 1, False),
        (False, 2, False),
        (True, 2, True),
    ):
        losses = dict(
            loss_rld=dict(type='RLDLoss'),
            loss_ckd=dict(type='CKDLoss', gather=gather),
        )
        runner = make_runner(
            folder / f'{unused}-{steps}',
            [hook_cfg(teacher, losses=losses), dict(type='CountRoIs')],
            launcher='pytorch',
            model=model,
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel',
                device_ids=None,
                find_unused_parameters=unused,
            ),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.005),
                accumulative_counts=steps,
            ),
            train_dataloader=dict(
                batch_size=1,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='RaggedBoxes', length=8 * steps),
                collate_fn=dict(type='pseudo_collate'),
            ),
        )
        runner.train()
        assert runner.iter == 2 * steps
        counts = everywhere(runner.counts)
        assert set(counts[3]) == {0} and 0 not in counts[0] + counts[2]
        assert len({n for per_rank in counts for n in per_rank}) > 3
        assert isinstance(runner.model, DistributedDataParallel)
        weights = flat(runner.model.parameters())
        for other in everywhere(weights):
            assert torch.equal(other, weights)
        assert not torch.equal(weights, start)
        logged = runner.message_hub.log_scalars['train/loss_ckd'].data[0]
        logged = [values.tolist() for values in everywhere(logged)]
        assert (logged[0] == logged[1] == logged[3]) == gather
        assert min(logged[0]) > 0


@HOOKS.register_module()
class CountRoIs(Hook):
    """Note how many RoIs each iteration classifies."""

    def before_train(self, runner):
        runner.counts = []
        runner.model.module.roi_head.bbox_head.register_forward_hook(
            lambda module, args, output: runner.counts.append(len(output[0]))
        )


def build_pair(folder, wrap, iou_threshold, proposals):
    """A detector without randomness, and the hook that distils it."""
    model = tiny.build_detector().train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    model.rpn_head.train_cfg.sampler = None
    model.train_cfg.rpn_proposal.max_per_img = proposals
    model.train_cfg.rpn_proposal.nms.iou_threshold = iou_threshold
    # More than there are: all are taken.
    model.roi_head.bbox_sampler.num = 512
    model.roi_head.bbox_sampler.pos_fraction = 1
    losses = dict(
        loss_kd=dict(type='KDLoss'),
        loss_dkd=dict(type='DKDLoss'),
        loss_rld=dict(type='RLDLoss'),
        loss_ckd=dict(type='CKDLoss', gather=True),
    )
    teacher = dict(
        config=dict(default_scope='mmdet', model=tiny.detector_cfg(width=16)),
        checkpoint=str(folder / 't.pth'),
    )
    hook = HOOKS.build(hook_cfg(teacher, losses=losses))
    wrapped = DistributedDataParallel(model) if wrap else model
    connect(hook, wrapped)
    return model, wrapped, hook


def distil(model, wrapped, terms, *images):
    """Gradients of some terms, and all terms, on some images."""
    data = model.data_preprocessor(tiny.batch(*images), True)
    losses = wrapped(**data, mode='loss')
    rest = [losses[key] for key in losses if 'loss' in key]
    rest = sum(sum(x) if isinstance(x, list) else x for x in rest)
    (sum(losses[term] for term in terms) + 0 * rest).backward()
    return gradients(model), {
        key: losses[key].detach() for key in losses if key[-2:] in ('kd', 'ld')
    }


@in_group_of(2)
def check_split_images_equal_the_whole(folder):
    if dist.get_rank() == 0:
        tiny.save_teacher(folder / 't.pth', width=16)
    dist.barrier()
    for terms, *sizes in (
        (['loss_kd', 'loss_dkd', 'loss_rld', 'loss_ckd'], 1.0, 20),
        (['loss_ckd'], 0.1, 200),
    ):
        counts = []
        model, wrapped, hook = build_pair(folder, True, *sizes)
        model.roi_head.bbox_head.register_forward_hook(
            lambda *call, counts=counts: counts.append(len(call[2][0]))
        )
        # Of one size, so that neither is padded for the other.
        grad, values = distil(model, wrapped, terms, 2 * dist.get_rank())
        counts = everywhere(counts[0])
        assert (counts[0] == counts[1]) == (len(terms) == 4)

        # Nothing of the teacher is in a bucket.
        teacher = hook.distiller.teachers[0].model
        own = [p for p in model.parameters() if p.requires_grad]
        assert wrapped._get_ddp_logging_data()['num_parameter_tensors'] == len(
            own
        )
        ids = {id(p) for p in wrapped.parameters()}
        assert not any(id(p) in ids for p in teacher.parameters())
        assert {p.device for p in teacher.parameters()} == {own[0].device}

        whole, plain, hook = build_pair(folder, False, *sizes)
        hook.distiller.losses['loss_ckd'].gather = False
        expected, sums = distil(whole, plain, terms, 0, 2)
        assert expected.abs().sum() > 0
        bound = 1e-5 * expected.abs().max().item()
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=bound)
        for term in terms:
            found = everywhere(values[term])
            torch.testing.assert_close(sum(found) / 2, sums[term])
        assert torch.equal(*everywhere(values['loss_ckd']))


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder and notes what was asked for."""

    def __init__(self, folder):
        self.asked = asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(folder))

            def log_message(self, *args):
                asked.append(self.path)

        super().__init__(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@in_group_of(2)
def check_download_once_a_node(folder):
    weights = dict(weight=torch.arange(3.0))
    rank = dist.get_rank()
    if rank == 0:
        torch.save(weights, folder / 'teacher.pth')
        server = Server(folder)
    port = everywhere(server.server_port if rank == 0 else None)[0]
    url = f'http://127.0.0.1:{port}'
    for _ in range(2):
        state, _ = read_checkpoint(f'{url}/teacher.pth')
        assert torch.equal(state['weight'], weights['weight'])
    with pytest.raises(FileNotFoundError, match='could not be downloaded'):
        read_checkpoint(f'{url}/missing.pth')
    dist.barrier()
    if rank == 0:
        assert server.asked.count('/teacher.pth') == 1
        server.shutdown()

    # The second process as the first of a node of its own.
    os.environ.update(LOCAL_RANK='0', TORCH_HOME=str(folder / f'node{rank}'))
    if rank == 0:
        server = Server(folder)
    port = everywhere(server.server_port if rank == 0 else None)[0]
    read_checkpoint(f'http://127.0.0.1:{port}/teacher.pth')
    dist.barrier()
    if rank == 0:
        assert server.asked.count('/teacher.pth') == 2
        server.shutdown()
