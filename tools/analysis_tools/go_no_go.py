#!/usr/bin/env python
"""Forecast whether distillation is worth training, and with which losses.

Without training, compares teacher and student of a config on the validation
images: their metrics; how often one alone classifies an RoI, or an image,
rightly; and how well the boxes of both fit on the same RoIs. The student is
one that was trained alone, or for a short while.

    python tools/analysis_tools/go_no_go.py CONFIG --student STUDENT.pth

It prints Markdown with a forecast, and writes go_no_go.json into the work
directory. The forecast is a rule of thumb, drawn from few measured cases.
"""

import copy
import json
import math
from contextlib import ExitStack
from pathlib import Path

import readings
import torch
from forecast import Difference, case_rows, forecast
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.progress import track, working
from mmkd_plugin.reports.tables import make_table
from mmkd_plugin.taps.roi.roi_heads import box_heads
from mmkd_plugin.teachers.metric import teacher_metrics

# By the ends of their names; the first that there is is the lead.
METRICS = ('bbox_mAP', 'mAP', 'top1', 'bbox_mAP_50', 'bbox_mAP_75')
# Logarithm of the largest factor of a size, as in MMDetection's coder.
LARGEST = math.log(1000 / 16)
# What reads RoIs and their boxes; the losses themselves do not matter.
LOSSES = dict(
    loss_logits=dict(
        type='KDLoss',
        tau=1.0,
        tap=dict(type='RoIHeadTap', background_weight=0.0),
    ),
    loss_boxes=dict(
        type='BoxL1Loss', tap=dict(type='RoIBoxTap', rows='label')
    ),
)
OF_IMAGES = dict(loss_logits=dict(type='KDLoss', tau=1.0))
MAPS = dict(loss_maps=dict(type='PKDLoss', loss_weight=1.0))


def on_validation(cfg):
    """Train on the validation images, by nothing but what is measured.

    Args:
        cfg (Config): Changed in place.

    Raises:
        SystemExit: If it has no validation images, or not one teacher.
    """
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):
        if cfg.get(key) is None:
            raise SystemExit(
                f'error: The config has no {key!r}, but student and teacher '
                'are compared on validation images: add it.'
            )
    inner = cfg.train_dataloader.dataset
    while 'pipeline' not in inner and (
        'dataset' in inner or 'datasets' in inner
    ):
        inner = inner.get('dataset') or inner.datasets[0]
    data = copy.deepcopy(cfg.val_dataloader.dataset)
    data.pop('test_mode', None)
    if 'pipeline' in inner:
        data.pipeline = inner.pipeline
    cfg.train_dataloader.dataset = data
    hooks = [hook for hook in cfg.get('custom_hooks', []) if 'teacher' in hook]
    teachers = hooks[0]['teacher'] if len(hooks) == 1 else []
    teachers = teachers if isinstance(teachers, list) else [teachers]
    if len(teachers) != 1:
        raise SystemExit(
            f'error: The config has {len(hooks)} hooks with a teacher and '
            f'{len(teachers)} teachers, but this command compares one with '
            'the student: give a config with one.'
        )
    cfg.custom_hooks = [
        dict(
            type='DistillHook',
            teacher=teachers[0],
            losses=copy.deepcopy(losses_for(cfg.model)),
        )
    ]
    sampler = cfg.model.get('train_cfg', {}).get('rcnn', {})
    if isinstance(sampler, dict) and 'sampler' in sampler:
        # Of boxes of the ground truth there is nothing to learn.
        sampler.sampler.add_gt_as_proposals = False


def losses_for(model):
    """What can be read of a student, as the losses of a hook.

    Args:
        model (dict): Its config.

    Returns:
        dict: Of RoIs, of images, or, of heads that have neither, just maps.
    """
    if 'Cascade' in str(model.get('roi_head', {}).get('type')):
        return MAPS
    if 'roi_head' in model:
        return LOSSES
    return MAPS if 'bbox_head' in model else OF_IMAGES


def student_metrics(runner):
    """Evaluate the student as a validation does.

    Args:
        runner (Runner): Has the student's weights.

    Returns:
        dict[str, float]: Value by name.
    """
    loop, model = runner.val_loop, runner.model
    model.eval()
    with torch.no_grad():
        for data in track(loop.dataloader, 'evaluating the student'):
            loop.evaluator.process(
                data_samples=model.val_step(data), data_batch=data
            )
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    return {name: float(value) for name, value in metrics.items()}


def shown(metrics):
    """The metrics that are compared, in [0, 1], the one of the lead first.

    Args:
        metrics (dict[str, float]): As of an evaluator.

    Returns:
        dict[str, float]: Of those, MMPretrain's percentages divided by 100.

    Raises:
        SystemExit: If there is none of them.
    """
    found = {}
    for end in METRICS:
        for name, value in metrics.items():
            if name.split('/')[-1] == end:
                found[name] = value / 100 if end == 'top1' else value
    if not found:
        raise SystemExit(
            f'error: The evaluator gives {", ".join(metrics) or "no metric"}, '
            f'but none that ends with {", ".join(METRICS)}: name another in '
            '`val_evaluator`, or train the student longer if it detects '
            'nothing yet.'
        )
    return found


def knowledge(reading):
    """Who classifies which foreground rows rightly.

    Args:
        reading (Reading): Logits (N, C), labels (N,), weights (N,), 0 for
            background.

    Returns:
        dict[str, float]: Shares of the rows with a weight: ``teacher`` and
        ``student`` right, ``teacher_alone`` and ``student_alone``; and their
        number, ``rows``.
    """
    kept = reading.weights > 0
    labels = reading.labels[kept]
    labels = labels.argmax(1) if labels.ndim == 2 else labels
    right = {
        name: getattr(reading, name)[kept].argmax(1) == labels
        for name in ('teacher', 'student')
    }
    teacher, student = right['teacher'], right['student']
    shares = dict(
        teacher=teacher,
        student=student,
        teacher_alone=teacher & ~student,
        student_alone=student & ~teacher,
    )
    return dict(rows=len(labels)) | {
        name: share.double().mean().item() for name, share in shares.items()
    }


def boxes_of(deltas, coder):
    """Boxes in units of their RoI, which is (0, 0, 1, 1).

    Args:
        deltas (Tensor): (N, 4).
        coder: Has ``means`` and ``stds``.

    Returns:
        Tensor: Corners, (N, 4).
    """
    means, stds = (deltas.new_tensor(x) for x in (coder.means, coder.stds))
    moved = deltas * stds + means
    sizes = moved[:, 2:].clamp(-LARGEST, LARGEST)
    centre, size = 0.5 + moved[:, :2], sizes.exp()
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


def overlaps(first, second):
    """IoU of boxes, pair by pair, (N,)."""
    low = torch.maximum(first[:, :2], second[:, :2])
    high = torch.minimum(first[:, 2:], second[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (first, second)]
    return common / (areas[0] + areas[1] - common)


def placement(reading, coder):
    """How well boxes fit the ground truth, over the foreground RoIs.

    IoU does not change with the place and the size of the RoI that both boxes
    are relative to, so the RoIs themselves are not needed.

    Args:
        reading (Reading): Deltas (N, 4) of both and of the ground truth, and
            weights (N,).
        coder: The student's.

    Returns:
        dict[str, float]: Mean IoU of the ``rois``, the ``student``'s and the
        ``teacher``'s boxes.
    """
    kept = reading.weights > 0
    truth = boxes_of(reading.labels[kept].float(), coder)
    found = {
        name: overlaps(boxes_of(deltas[kept].float(), coder), truth)
        for name, deltas in (
            ('student', reading.student),
            ('teacher', reading.teacher),
        )
    }
    rois = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(len(truth), 4)
    found['rois'] = overlaps(rois, truth)
    return {name: iou.double().mean().item() for name, iou in found.items()}


def read(runner, distiller, batches):
    """What the taps give on the validation images.

    Args:
        runner (Runner): Of a config that :func:`on_validation` has changed.
        distiller (Distiller): Attached to its model.
        batches (int): How many batches to take.

    Returns:
        dict[str, Reading]: By term, of all samples together, on the CPU.
    """
    # In training mode it samples RoIs; its layers are as in a validation.
    model = runner.model.train()
    for module in model.modules():
        if isinstance(module, (_BatchNorm, _DropoutNd)):
            module.eval()
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(readings.listen(distiller, term.tap))
            for name, term in distiller.terms.items()
        }
        with torch.no_grad():
            for batch in readings.first_batches(runner, batches):
                model(**model.data_preprocessor(batch, True), mode='loss')
    return {name: readings.join(each, batches) for name, each in found.items()}


def compare(args):
    """Measure teacher and student of a config.

    Args:
        args (argparse.Namespace): As of ``readings.build_parser``.

    Returns:
        dict: ``metrics`` of both; ``knowledge``, None of dense heads and
        cascades; ``placement``, None of images too; ``work_dir``.
    """
    with readings.connect(args, on_validation) as (runner, distiller):
        with working('evaluating the teacher'):
            metrics = dict(
                teacher=teacher_metrics(runner, distiller.teachers[0])
            )
        metrics['student'] = student_metrics(runner)
        found, known, places = {}, None, None
        if 'loss_logits' in distiller.terms:
            found = read(runner, distiller, args.batches)
            known = knowledge(found['loss_logits'])
        if 'loss_boxes' in found:
            (head,) = (pair.head for pair in box_heads(runner.model))
            places = placement(found['loss_boxes'], head.bbox_coder)
        return dict(
            metrics={who: shown(each) for who, each in metrics.items()},
            knowledge=known,
            placement=places,
            work_dir=runner.work_dir,
        )


def report(found, config):
    """The page that is printed.

    Args:
        found (dict): As of :func:`compare`.
        config (str): Its path.

    Returns:
        str: Markdown.
    """
    teacher, student = (found['metrics'][x] for x in ('teacher', 'student'))
    rows = [['on validation images', 'teacher', 'student', 'lead']]
    rows += [
        [name, f'{value:.3f}', f'{student[name]:.3f}']
        + [f'{value - student[name]:+.3f}']
        for name, value in teacher.items()
    ]
    known = found['knowledge']
    if known:
        what = 'images' if found['placement'] is None else 'foreground RoIs'
        rows += [
            [f'right, of {known["rows"]} {what}']
            + [f'{known[x]:.3f}' for x in ('teacher', 'student')]
            + [f'{known["teacher"] - known["student"]:+.3f}'],
            ['right where the other is wrong']
            + [f'{known[x]:.3f}' for x in ('teacher_alone', 'student_alone')]
            + [''],
        ]
    if found['placement']:
        fit = found['placement']
        rows.append(
            [f'mean IoU of boxes on them (RoIs {fit["rois"]:.3f})']
            + [f'{fit[x]:.3f}' for x in ('teacher', 'student')]
            + [f'{fit["teacher"] - fit["student"]:+.3f}']
        )
    return '\n'.join(
        [
            f'# {config}',
            '',
            *make_table(rows, left=(0,)),
            '',
            f'**{forecast(difference(found))}**',
            '',
            'A forecast from what was measured on few data sets, not a '
            'promise:',
            '',
            *make_table(case_rows(), left=(0, 4)),
        ]
    )


def difference(found):
    """The numbers that a forecast is made from."""
    teacher, student = (found['metrics'][x] for x in ('teacher', 'student'))
    name = next(iter(teacher))
    known, fit = found['knowledge'], found['placement']
    return Difference(
        lead=teacher[name] - student[name],
        knowledge=known and known['teacher'] - known['student'],
        places=fit and fit['teacher'] - fit['student'],
    )


@explain_errors()
def main():
    args = readings.build_parser(__doc__.split('\n')[0], 50).parse_args()
    if args.student is None:
        raise SystemExit(
            'error: This command compares a teacher with a trained student: '
            'give its weights, as in --student STUDENT.pth.'
        )
    found = compare(args)
    path = Path(found.pop('work_dir'), 'go_no_go.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found, indent=1) + '\n')
    print(report(found, args.config))
    print(f'\n{path}')


if __name__ == '__main__':
    main()
