#!/usr/bin/env python
"""Show what distillation changed: images, and average precision per class.

    python tools/analysis_tools/visualize.py CONFIG \\
        --student ALONE.pth --distilled KD.pth

Runs the teacher of the config's distillation hook, a student trained alone and
a distilled one over the validation set. Writes into the output folder, as PNG
and PDF:

    improved     the images in which the distilled student gained most in F1
    harmed       those in which it lost most
    classes      average precision per class, and overall

and results.json with all numbers. F1 of an image is the harmonic mean of
precision and recall of its detections with a score of at least --score-thr; a
detection is right if its class matches and IoU >= 0.5. F1 is 1 where nothing
is annotated and nothing was detected.
"""

import copy
import json
from pathlib import Path

import mmcv
import torch
from mmengine.runner import CheckpointLoader
from visualize_pictures import draw_bars, draw_examples

from mmkd_plugin import DistillHook
from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.progress import track
from mmkd_plugin.cli.quiet_runner import QuietRunner, reading_data
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.reports.detections import evaluate, f1, match
from mmkd_plugin.reports.samples import read_detections, read_truth
from mmkd_plugin.teachers.teacher import Teacher

MODELS = ('teacher', 'student alone', 'distilled student')


def find_all(models, loader):
    """Run models on all images.

    Args:
        models (dict[str, Callable]): Name to a function that takes a batch of
            the loader and returns data samples with predictions.
        loader (DataLoader): Of the validation.

    Returns:
        dict[str, list[dict]]: By model, detections in COCO's format, but
        `category_id` is the label.
    """
    found = {name: [] for name in models}
    for data in track(loader, 'detecting'):
        for name, model in models.items():
            # Read at once: all models write into the same samples.
            for sample in model(data):
                found[name] += read_detections(sample)
    return found


def judge(truth, found, threshold):
    """Compare the models image by image.

    Args:
        truth (dict): As of :func:`read_truth`.
        found (dict[str, list[dict]]): As of :func:`find_all`.
        threshold (float): Detections with a lower score do not count.

    Returns:
        list[dict]: For each image `id`, `path`, its `truth` without ignored
        annotations; by model the detections `found` and `f1`; and `gain`, F1
        of the last model minus that of the one before.
    """
    images = {
        image['id']: dict(image, truth=[], found={name: [] for name in found})
        for image in truth['images']
    }
    for item in truth['annotations']:
        if not item['iscrowd']:
            images[item['image_id']]['truth'].append(item)
    for name, detections in found.items():
        for item in detections:
            if item['score'] >= threshold:
                images[item['image_id']]['found'][name].append(item)
    for image in images.values():
        image['f1'] = {
            name: f1(*match(image['truth'], detections))
            for name, detections in image['found'].items()
        }
        *_, alone, distilled = image['f1'].values()
        image['gain'] = distilled - alone
    return list(images.values())


def build_models(runner, hook, student, distilled):
    """Build the three models.

    Args:
        runner (Runner): Its model is the student.
        hook (DistillHook): Its teacher is the teacher.
        student (str): Checkpoint of the student trained without a teacher.
        distilled (str): Checkpoint of the distilled student.

    Returns:
        dict[str, Callable]: See :func:`find_all`.
    """
    steps = []
    for path in (student, distilled):
        model = copy.deepcopy(runner.model).eval()
        content = CheckpointLoader.load_checkpoint(path, 'cpu')
        load_strictly(
            model, split_checkpoint(content, path)[0], path, 'student'
        )
        steps.append(model.val_step)
    teacher = Teacher(**hook.teacher_cfgs[0])
    classes = names_of(runner.val_loop.dataloader.dataset, 'val')
    hook.distiller.attach(runner.model, [teacher], classes)
    hook.distiller.detach()  # the teacher keeps its mapping of the classes
    if not any(tap.per_class for tap in hook.distiller.taps):
        teacher.match_names(classes)
    teacher.refuse_evaluation()
    taught = [lambda data: teacher.relabel(teacher.model.val_step(data))]
    return dict(zip(MODELS, taught + steps))


def draw_all(out, images, results, classes, num):
    """Draw the pictures.

    Args:
        out (Path): The folder.
        images (list[dict]): As of :func:`judge`.
        results (dict[str, dict]): By model, the result of
            :func:`~detections.evaluate`.
        classes (Sequence[str]): Their names.
        num (int): Largest number of images in a picture.

    Returns:
        list[str]: Names of the pictures.
    """
    drawn = {'classes': None}
    for name, sign in (('improved', 1), ('harmed', -1)):
        ranked = sorted(images, key=lambda image: -sign * image['gain'])
        drawn[name] = [i for i in ranked[:num] if sign * i['gain'] > 0]
    for name in [name for name in drawn if drawn[name] != []]:
        paths = [out / f'{name}{suffix}' for suffix in ('.png', '.pdf')]
        if name == 'classes':
            draw_bars(paths, results)
            continue
        draw_examples(
            paths,
            [(image['truth'], image['found']) for image in drawn[name]],
            classes,
            [mmcv.imread(i['path'], channel_order='rgb') for i in drawn[name]],
        )
    return [name for name in drawn if drawn[name] != []]


def parse_args():
    parser = build_parser(__doc__.split('\n')[0])
    for name in ('student', 'distilled'):
        parser.add_argument(
            f'--{name}',
            required=True,
            metavar='CHECKPOINT',
            help='checkpoint of the student trained '
            + ('alone' if name == 'student' else 'with the teacher'),
        )
    parser.add_argument(
        '--num', type=int, default=4, help='images per picture (default: 4)'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='output folder (default: WORK_DIR/pictures)',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.5,
        help='lowest score of a detection that is drawn and counted '
        '(default: 0.5)',
    )
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f'expected --num of at least 1 but got {args.num}')
    return args


@explain_errors()
def main():
    args = parse_args()
    with safe_loading(args.trust_checkpoint):
        visualize(args)


def visualize(args):
    """Evaluate the models, draw the pictures and write the numbers."""
    cfg = load_config(args)
    check_start(cfg, 'model', 'val_dataloader', 'val_cfg', 'val_evaluator')
    runner = QuietRunner.from_cfg(cfg)
    hooks = [hook for hook in runner.hooks if isinstance(hook, DistillHook)]
    teachers = [cfg for hook in hooks for cfg in hook.teacher_cfgs]
    if len(teachers) != 1:
        raise SystemExit(
            f'error: The config {args.config!r} has {len(teachers)} teachers '
            'in `custom_hooks`, of which this command shows one: give a '
            'config with one distillation hook and one teacher.'
        )
    with reading_data(runner):
        check_data(runner, 'val')
    models = build_models(runner, hooks[0], args.student, args.distilled)
    loader = runner.val_loop.dataloader
    with torch.no_grad():
        found = find_all(models, loader)
    classes = names_of(loader.dataset, 'val')
    truth = read_truth(loader.dataset, classes)
    images = judge(truth, found, args.score_thr)
    results = {name: evaluate(truth, found[name]) for name in found}
    out = args.out or Path(cfg.work_dir, 'pictures')
    drawn = draw_all(out, images, results, classes, args.num)
    images.sort(key=lambda image: -image['gain'])
    numbers = dict(
        score_thr=args.score_thr,
        models=results,
        images=[
            {key: image[key] for key in ('id', 'path', 'f1', 'gain')}
            for image in images
        ],
    )
    write_text(out / 'results.json', json.dumps(numbers, indent=1) + '\n')
    for name, result in results.items():
        print(f'{name}: mAP {result["mAP"]:.4f}, AP50 {result["AP50"]:.4f}')
    gains = [image['gain'] for image in images]
    print(
        f'F1 is higher in {sum(gain > 0 for gain in gains)}, lower in '
        f'{sum(gain < 0 for gain in gains)} of {len(gains)} images. '
        f'{out}: {", ".join(drawn)}'
    )


if __name__ == '__main__':
    main()
