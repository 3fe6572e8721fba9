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
precision and recall of its detections with a score of at least a threshold:
that with which the model's F1 over the whole validation set is highest, or
--threshold for all. A detection is right if its class matches and IoU >= 0.5.
F1 is 1 where nothing is annotated and nothing was detected.
"""

import copy
import json
import sys
from pathlib import Path

import mmcv
import torch
from mmengine.runner import CheckpointLoader
from visualize_pictures import draw_classes, draw_examples

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
from mmkd_plugin.reports.threshold import FALLBACK, best_threshold
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


def by_image(truth, found):
    """Sort annotations and detections by image.

    Args:
        truth (dict): As of :func:`read_truth`.
        found (dict[str, list[dict]]): As of :func:`find_all`.

    Returns:
        list[dict]: For each image `id`, `path`, its `truth` without ignored
        annotations, and by model the detections `found`.
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
            images[item['image_id']]['found'][name].append(item)
    return list(images.values())


def choose_thresholds(images):
    """Choose the best threshold of each model, and say where there is none.

    Args:
        images (list[dict]): As of :func:`by_image`.

    Returns:
        dict[str, float]: By model.
    """
    thresholds = {}
    for name in images[0]['found']:
        best = best_threshold((i['truth'], i['found'][name]) for i in images)
        if best is None:
            best = FALLBACK
            warn(
                f'no detection of the {name} is right, so none of its scores '
                f'is the best threshold, and {best} is used: verify its '
                'checkpoint, and that it was trained for this data.'
            )
        thresholds[name] = best
    return thresholds


def judge(images, thresholds):
    """Compare the models image by image.

    Args:
        images (list[dict]): As of :func:`by_image`; changed: detections below
            the threshold are taken out, and `f1` by model is added, and
            `gain`, F1 of the last model minus that of the one before.
        thresholds (dict[str, float]): By model, the lowest score that counts.
    """
    for image in images:
        image['f1'] = {}
        for name, least in thresholds.items():
            kept = [i for i in image['found'][name] if i['score'] >= least]
            image['found'][name] = kept
            image['f1'][name] = f1(*match(image['truth'], kept))
        *_, alone, distilled = image['f1'].values()
        image['gain'] = distilled - alone


def warn(sentence):
    """Print what would mislead if it was not known."""
    print(f'warning: {sentence}', file=sys.stderr)


def warn_of_nothing(images, where, thresholds):
    """Say which models have no detection in some images.

    Args:
        images (list[dict]): As :func:`judge` leaves them.
        where (str): What they are.
        thresholds (dict[str, float]): By model.
    """
    for name, least in thresholds.items():
        if not any(image['found'][name] for image in images):
            warn(
                f'the {name} has no detection with a score of at least '
                f'{least} {where}: to see what it finds with lower scores, '
                'give a lower --threshold.'
            )


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


def draw_all(out, images, results, classes, num, thresholds):
    """Draw the pictures.

    Args:
        out (Path): The folder.
        images (list[dict]): As :func:`judge` leaves them.
        results (dict[str, dict]): By model, the result of
            :func:`~detections.evaluate`.
        classes (Sequence[str]): Their names.
        num (int): Largest number of images in a picture.
        thresholds (dict[str, float]): By model.

    Returns:
        list[str]: Names of the pictures.
    """

    def files(name):
        return [out / f'{name}{suffix}' for suffix in ('.png', '.pdf')]

    draw_classes(files('classes'), results)
    drawn = ['classes']
    warn_of_nothing(images, 'in any validation image', thresholds)
    for name, sign in (('improved', 1), ('harmed', -1)):
        ranked = sorted(images, key=lambda image: -sign * image['gain'])
        shown = [i for i in ranked[:num] if sign * i['gain'] > 0]
        if not shown:
            # Of an earlier call, with other checkpoints or thresholds.
            for path in files(name):
                path.unlink(missing_ok=True)
            continue
        pixels = [mmcv.imread(i['path'], channel_order='rgb') for i in shown]
        draw_examples(files(name), shown, pixels, classes, thresholds)
        drawn.append(name)
        some = {
            model: least
            for model, least in thresholds.items()
            if any(image['found'][model] for image in images)
        }
        warn_of_nothing(shown, f'in the images of {name}', some)
    return drawn


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
        '--threshold',
        type=float,
        metavar='SCORE',
        help='lowest score of a detection that is drawn and counted, for all '
        'models (default: for each the one with which its F1 over the '
        'validation set is highest)',
    )
    args = parser.parse_args()
    if args.num < 1:
        parser.error(f'expected --num of at least 1 but got {args.num}')
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        parser.error(
            f'expected --threshold from 0 to 1 but got {args.threshold}'
        )
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
    images = by_image(truth, found)
    if args.threshold is None:
        thresholds = choose_thresholds(images)
    else:
        thresholds = dict.fromkeys(found, args.threshold)
    judge(images, thresholds)
    results = {name: evaluate(truth, found[name]) for name in found}
    out = args.out or Path(cfg.work_dir, 'pictures')
    drawn = draw_all(out, images, results, classes, args.num, thresholds)
    images.sort(key=lambda image: -image['gain'])
    numbers = dict(
        thresholds=thresholds,
        models=results,
        images=[
            {key: image[key] for key in ('id', 'path', 'f1', 'gain')}
            for image in images
        ],
    )
    write_text(out / 'results.json', json.dumps(numbers, indent=1) + '\n')
    for name, result in results.items():
        print(
            f'{name}: mAP {result["mAP"]:.4f}, AP50 {result["AP50"]:.4f}, '
            f'shown from a score of {thresholds[name]}'
        )
    gains = [image['gain'] for image in images]
    print(
        f'F1 is higher in {sum(gain > 0 for gain in gains)}, lower in '
        f'{sum(gain < 0 for gain in gains)} of {len(gains)} images. '
        f'{out}: {", ".join(drawn)}'
    )


if __name__ == '__main__':
    main()
