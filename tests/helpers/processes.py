"""What each of a group of processes checks with a whole detector."""

import http.server
import os
import threading

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from mmkd_plugin.checkpoints.reading import read_checkpoint
from tests.helpers import tiny
from tests.helpers.detector_runs import connect, hook_cfg, make_runner
from tests.helpers.group import everywhere, flat, gradients


@DATASETS.register_module()
class RaggedBoxes(tiny.Boxes):
    """Without objects in the images of the last two of four processes."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index % 4 >= 2:
            objects = sample['data_samples'].gt_instances
            sample['data_samples'].gt_instances = objects[:0]
        return sample


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
            loss_rld=dict(type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0),
            loss_ckd=dict(
                type='CKDLoss', gather=gather, tau=1.0, loss_weight=1.0
            ),
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
        loss_kd=dict(type='KDLoss', tau=1.0),
        loss_dkd=dict(type='DKDLoss', beta=0.25, tau=1.0),
        loss_rld=dict(type='RLDLoss', beta=8.0, tau_scd=1.0, tau_mcd=4.0),
        loss_ckd=dict(type='CKDLoss', gather=True, tau=1.0, loss_weight=1.0),
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
