#!/usr/bin/env python
"""The training step of a distilled detector, compared with MMRazor's.

Times, interleaved in one process, with the same random weights and images, the
steps that MMEngine's runner makes of:

* student: the student of the config alone;
* plugin: the config, which must distil by KDLoss;
* mmrazor: MMRazor's SingleTeacherDistill, with its KLDivergence between what
  the classifiers of the two RoI heads give;
* mmrazor at its best: the same, with the teacher's samples delivered to the
  student.

They do not compute the same.  The plugin's student samples its RoIs as if it
were trained alone; the teacher's backbone, neck and box head then classify
those RoIs.  MMRazor first runs the whole teacher as in training, without
gradients: including its RPN, proposals, assignment, sampling and losses.  As
each detector samples its own RoIs, row i of the teacher's logits and row i of
the student's belong to different boxes; where one samples fewer, MMRazor stops
with a shape mismatch.  A delivery of what `BaseSampler.sample` returns gives
both the same RoIs, and the term is what the plugin computes for those RoIs;
but the student's RoI head is then trained on the teacher's proposals, never on
those of its own RPN.  The student's samples cannot be delivered to the teacher
instead, because the teacher runs first.

At its best MMRazor also has in-place activations, which it disables by
default.  The plugin runs as in training, including its checks and the logged
agreement; where the teacher expects other preprocessing, it converts the
images, and MMRazor does not.  On a machine under other load, trust the ratios
alone, preferably those of CPU time.

Memory is that of weights and optimizer state, plus the peak of one more step:
on a GPU by PyTorch's statistics, on a CPU by its profiler, which sees every
block that an operator takes from PyTorch's allocator, temporaries included,
but not the scratch memory of oneDNN.

MMRazor 1.0.0 needs MMEngine, MMCV <= 2.1.0 and MMDetection of OpenMMLab:
  make setup STACK=openmmlab
  .venv-openmmlab/bin/python -m pip install mmrazor==1.0.0 joblib

For example:
  python tools/benchmark/against_mmrazor.py --images 1 --rounds 5
  python tools/benchmark/against_mmrazor.py \\
    configs/bccd/frcnn_r18w32_r18w8_kd.py --size 144 192
"""

import copy
from functools import partial
from pathlib import Path
from unittest import mock

import mmcv
import mmdet
import mmengine
import torch
from mmdet.utils import register_all_modules as register_mmdet
from mmengine.config import ConfigDict
from noise import use_noise
from peak_memory import peak_memory
from runs import (
    build,
    build_parser,
    run_benchmark,
    start,
    student_alone,
    training_config,
)
from timing import CLOCKS, compare, summary

from mmkd_plugin import DistillHook
from mmkd_plugin.checkpoints.reading import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'frcnn_r101_r18_kd.py'
BEST = 'mmrazor at its best'
SAMPLE = 'mmdet.models.task_modules.samplers.base_sampler.BaseSampler.sample'


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('config', nargs='?', default=str(CONFIG))
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(800, 1333),
        metavar=('H', 'W'),
        help='image size in pixels (default: that of COCO)',
    )
    parser.add_argument(
        '--images', type=int, help='per batch (default: as in the config)'
    )
    parser.add_argument('--steps', type=int, default=1, help='per round')
    args = parser.parse_args()
    if min(args.steps, args.rounds, args.images or 1, *args.size) < 1:
        parser.error('expected numbers of at least 1')
    return args


def register_mmrazor():
    """Import MMRazor, without its quantisation.

    From PyTorch 1.13 on, MMRazor 1.0.0 imports functions of
    torch.ao.quantization that PyTorch 2.0 has renamed; with an older PyTorch
    it does without them. Distillation does not use them.

    Raises:
        ImportError: If it is not installed.
    """
    register_mmdet(False)
    try:
        with mock.patch('torch.__version__', '1.12.1'):
            from mmrazor.utils import register_all_modules

            register_all_modules(False)
    except ImportError as error:
        raise ImportError(
            f'MMRazor cannot be imported ({error}): make an environment as '
            f'the first lines of {__file__} say.'
        ) from error


def mmrazor_model(student, teacher, loss, images=None):
    """Config of MMRazor's logit distillation.

    Args:
        student (dict): Config of a detector, of scope mmdet.
        teacher (dict): The same for the teacher.
        loss (dict): Settings of KLDivergence.
        images (int, optional): Images per batch, to give MMRazor its best
            settings; None keeps its defaults.

    Returns:
        ConfigDict: Of scope mmrazor.
    """
    head = dict(type='ModuleOutputs', source='roi_head.bbox_head.fc_cls')
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(head=head),
        teacher_recorders=dict(head=head),
        distill_losses=dict(loss_kd=dict(type='KLDivergence', **loss)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(from_student=True, recorder='head'),
                preds_T=dict(from_student=False, recorder='head'),
            )
        ),
    )
    best = {}
    if images is not None:
        best = dict(module_inplace=True, teacher_module_inplace=True)
        distiller['distill_deliveries'] = dict(
            samples=dict(
                type='MethodOutputs',
                method_path=SAMPLE,
                # The RPN and the RoI head call it once per image.
                max_keep_data=2 * images,
            )
        )
    return ConfigDict(
        _scope_='mmrazor',
        type='SingleTeacherDistill',
        architecture={**student, '_scope_': 'mmdet'},
        teacher={**teacher, '_scope_': 'mmdet'},
        distiller=distiller,
        **best,
    )


def prepare(args, folder):
    """Configs of the runs, by name, and the weights of both detectors."""
    cfg, hook = training_config(args, folder)
    losses = [dict(loss) for loss in hook.get('losses', {}).values()]
    if [loss.pop('type') for loss in losses] != ['KDLoss'] or not (
        losses[0].keys() <= {'tau', 'loss_weight'}
    ):
        raise SystemExit(
            f'error: expected {args.config} to distil by KDLoss, which '
            'MMRazor has too, with `tau` and `loss_weight` alone: give the '
            'config of such a run.'
        )
    images = args.images or cfg.train_dataloader.batch_size
    use_noise(cfg, args.size, images)
    alone = student_alone(cfg)
    runs = dict(student=alone, plugin=cfg)
    models = dict(student=cfg.model, teacher=hook.teacher.config['model'])
    for name, batch in (('mmrazor', None), (BEST, images)):
        runs[name] = copy.deepcopy(alone)
        runs[name].model = mmrazor_model(
            **models, loss=losses[0], images=batch
        )
    teacher, _ = read_checkpoint(hook.teacher.checkpoint)
    return runs, dict(student=build(cfg).state_dict(), teacher=teacher)


def load(runner, weights):
    """Load the weights that all runs share."""
    model = runner.model
    getattr(model, 'student', model).load_state_dict(weights['student'])
    if hasattr(model, 'teacher'):
        model.teacher.load_state_dict(weights['teacher'])


def persistent_bytes(runner):
    """Bytes of the weights and of the optimizer's state."""
    models = [runner.model]
    for hook in runner.hooks:
        if isinstance(hook, DistillHook):
            models += [t.model for t in hook.distiller.teachers]
    tensors = [
        value
        for state in runner.optim_wrapper.optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value)
    ]
    for model in models:
        tensors += [*model.parameters(), *model.buffers()]
    return sum(x.nbytes for x in tensors)


def measure(args, folder):
    """All figures, as a dict of plain numbers."""
    runs, weights = prepare(args, folder)
    steps, held = {}, {}
    for name, cfg in runs.items():
        runner = start(cfg, name)
        load(runner, weights)
        steps[name] = runner.train_loop.step
        held[name] = partial(persistent_bytes, runner)
    times = compare(steps, args.steps, args.rounds)
    memory = {name: held[name]() + peak_memory(steps[name]) for name in steps}
    rows = {}
    for name, rounds in times.items():
        ratios = [
            [a / b for a, b in zip(*pair)] for pair in zip(rounds, times[BEST])
        ]
        rows[name] = dict(
            milliseconds=dict(zip(CLOCKS, map(summary, zip(*rounds)))),
            ratio=dict(zip(CLOCKS, map(summary, zip(*ratios)))),
            memory=memory[name],
            memory_ratio=memory[name] / memory[BEST],
        )
    return dict(
        config=args.config,
        size=list(args.size),
        versions={
            package.__name__: package.__version__
            for package in (torch, mmengine, mmcv, mmdet)
        },
        threads=torch.get_num_threads(),
        rounds=args.rounds,
        steps=args.steps,
        rows=rows,
    )


def report(found):
    """Print the figures as a Markdown table."""
    versions = ', '.join(f'{k} {v}' for k, v in found['versions'].items())
    print(
        f'{found["config"]}, images of {found["size"]}, {versions}, '
        f'{found["threads"]} threads, {found["rounds"]} rounds of '
        f'{found["steps"]} steps; ratios to {BEST}\n'
    )
    print(
        '| | ms per step | ratio | quartiles | CPU ms | ratio | quartiles ',
        end='',
    )
    print('| memory, MiB | ratio |')
    print('|---|--:|--:|--:|--:|--:|--:|--:|--:|')
    for name, row in found['rows'].items():
        cells = []
        for clock in CLOCKS:
            ratio = row['ratio'][clock]
            low, high = ratio['quartiles']
            cells += [
                f'{row["milliseconds"][clock]["median"]:.2f}',
                f'{ratio["median"]:.3f}',
                f'{low:.3f} to {high:.3f}',
            ]
        cells += [f'{row["memory"] / 2**20:.0f}', f'{row["memory_ratio"]:.3f}']
        print(f'| {name} | {" | ".join(cells)} |')


def main():
    args = parse_args()
    register_mmrazor()
    run_benchmark(args, measure, report)


if __name__ == '__main__':
    main()
