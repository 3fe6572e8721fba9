#!/usr/bin/env python
"""Show what a config would distil, and whether it would train.

    python tools/analysis_tools/inspect_config.py CONFIG

Nothing is trained. Student and teacher are built, connected and run once, on
noise of the size of the training images, or with --data on the first batch
of the real ones. Everything that would stop the training is listed with its
error message, and the exit code is then 1; it is 0 if the config would train.
"""

import sys
from contextlib import ExitStack, contextmanager, redirect_stdout
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import NamedTuple

import inspect_report as report
import torch
from mmengine.runner import Runner
from random_images import noise_loader
from readings import detach
from torch.utils.flop_counter import FlopCounterMode

from mmkd_plugin import DistillHook
from mmkd_plugin.checkpoints.first_weights import check_first_weights
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain, explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.progress import working
from mmkd_plugin.cli.quiet_runner import reading_data
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.distill.adopt import adopt
from mmkd_plugin.distill.pulls import listen, measure
from mmkd_plugin.teachers.config import build_model
from mmkd_plugin.teachers.config import load_config as load_teacher_config
from mmkd_plugin.teachers.metric import check_validation
from mmkd_plugin.teachers.teacher import Teacher


def parse_args():
    parser = build_parser(__doc__.split('\n')[0])
    parser.add_argument(
        '--data',
        action='store_true',
        help='run on the first batch of the training data',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('WIDTH', 'HEIGHT'),
        help='size of the noise in pixels (default: that of the training '
        'images)',
    )
    parser.add_argument(
        '--modules',
        action='store_true',
        help='list every module whose output a hook can read, with its shape',
    )
    return parser.parse_args()


@contextmanager
def noting(problems):
    """Continue after an error in the input.

    Args:
        problems (list[str]): The error message is appended to it.
    """
    try:
        yield
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        if sentence not in problems:
            problems.append(sentence)


def begin(cfg, args, problems):
    """Do what training does before it connects the teachers.

    Args:
        cfg (Config): The config; its ``work_dir`` is a temporary folder.
        args (argparse.Namespace): The options.
        problems (list[str]): What would stop the training is appended.

    Returns:
        Runner: On noise unless ``args.data``.

    Raises:
        SystemExit: If there is nothing to run on.
    """
    runner = Runner.from_cfg(cfg)
    with noting(problems), reading_data(runner):
        check_data(runner, 'train', 'val')
    if args.data and problems:
        raise SystemExit(f'error: {problems[0]}')
    if not args.data:
        noise = noise_loader(
            cfg.train_dataloader.dataset, runner.model, args.size
        )
        if problems:
            cfg.train_dataloader = noise
            runner = Runner.from_cfg(cfg)
        else:
            loop = runner.train_loop
            names = names_of(loop.dataloader.dataset)
            if names is not None:
                noise['dataset']['classes'] = names
            loop.dataloader = Runner.build_dataloader(noise)
    with noting(problems):
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        adopt_all(runner)
    with noting(problems), check_first_weights(runner):
        runner.model.init_weights()
        runner.load_or_resume()
    return runner


def adopt_all(runner):
    """Give the losses with parameters to the optimizer, as training does."""
    losses = {}
    for hook in runner.hooks:
        if isinstance(hook, DistillHook):
            losses.update(hook.distiller.trainable)
    if losses:
        adopt(runner, losses)


def stand_in(cfg, folder, problems):
    """Arguments of a teacher that can be built.

    Args:
        cfg (dict): Those of the config.
        folder (str): Where a checkpoint of random weights is written if
            that of ``cfg`` cannot be loaded.
        problems (list[str]): The reason is appended to it.

    Returns:
        dict: The same, or with a checkpoint of random weights.

    Raises:
        FileNotFoundError, TypeError, ValueError: If the teacher's config is
            at fault.
    """
    with noting(problems):
        Teacher(**cfg)
        return cfg
    state = build_model(load_teacher_config(cfg['config'])).state_dict()
    with NamedTemporaryFile(dir=folder, suffix='.pth', delete=False) as file:
        torch.save(state, file)
    return {**cfg, 'checkpoint': file.name, 'prefix': '', 'part': ''}


def connect(runner, hook, folder, problems):
    """Build a hook's teachers and connect them, as training does.

    Args:
        runner (Runner): As of :func:`begin`.
        hook (DistillHook): One of its hooks.
        folder (str): See :func:`stand_in`.
        problems (list[str]): What would stop the training is appended.

    Returns:
        list[Teacher]: Empty if one cannot be built.
    """
    teachers = []
    with noting(problems):
        hook.schedule.check(runner)
        # Count parameters and list modules as they are in the checkpoint.
        teachers = [
            Teacher(**{**stand_in(cfg, folder, problems), 'fuse_bn': False})
            for cfg in hook.teacher_cfgs
        ]
        hook.distiller.attach(
            runner.model, teachers, names_of(runner.train_dataloader.dataset)
        )
        if hook.evaluate_teacher:
            check_validation(runner)
    return teachers


def count_macs(model, data):
    """Multiply-adds of the inference on the first image of a batch.

    Args:
        model (nn.Module): A detector or classifier.
        data (dict): What its data preprocessor gave.

    Returns:
        float | str: Half the FLOPs that torch counts for matrix products and
        convolutions, or why they cannot be counted.
    """
    image, samples = data['inputs'][:1], data['data_samples'][:1]
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(image, samples, mode='tensor')
    except Exception as error:  # a third-party model may raise anything
        return f'not counted ({type(error).__name__}: {error})'
    return counter.get_total_flops() / 2


@contextmanager
def watch(model):
    """Record the output shapes of the modules of a model.

    Args:
        model (nn.Module): The model.

    Yields:
        dict[str, list[tuple]]: Name of each submodule to the distinct shapes
        of its output tensors; empty if it has not run.
    """
    shapes = {name: [] for name, _ in model.named_modules() if name}

    def note(name, output):
        for shape in report.shapes_in(output):
            if shape not in shapes[name]:
                shapes[name].append(shape)

    with ExitStack() as stack:
        for name in shapes:
            handle = model.get_submodule(name).register_forward_hook(
                lambda module, args, output, name=name: note(name, output)
            )
            stack.callback(handle.remove)
        yield shapes


def step(model, data, hooks, problems):
    """Run the forward pass of a training step, and see what terms do in it.

    Args:
        model (nn.Module): The student.
        data (dict): What its data preprocessor gave.
        hooks (list[DistillHook]): Connected, unless it could not be.
        problems (list[str]): What would stop the training is appended.

    Returns:
        tuple[dict, dict]: The ``Reading`` of each stage that a term was
        computed from, by its name, and the term's ``Pull``; without the terms
        that were not computed.
    """
    # Of a teacher that could not be connected, the output has no terms.
    distillers = [h.distiller for h in hooks if h.distiller.teachers]
    pulls = {}
    with (
        noting(problems),
        torch.set_grad_enabled(bool(distillers)),
        listen(model, *distillers) as heard,
    ):
        output = model(**data, mode='loss' if hooks else 'tensor')
        pulls = measure(model, output, heard, *distillers)
    given = {
        term: {stage: detach(reading) for stage, _, reading in stages}
        for term, stages in heard.stages.items()
    }
    return given, pulls


class Found(NamedTuple):
    """What :func:`inspect` finds out.

    Attributes:
        told (list[str]): Paragraphs to print.
        problems (list[str]): What would stop the training, in its order.
        pulls (dict[str, Pull]): The terms that were computed.
        iterations (int): Of the whole training, if there is no problem.
    """

    told: list
    problems: list
    pulls: dict
    iterations: int


def inspect(cfg, args, folder):
    """Find out what a config would distil.

    Args:
        cfg (Config): The config.
        args (argparse.Namespace): The options.
        folder (str): For temporary files.

    Returns:
        Found: What was found out.
    """
    cfg.work_dir, cfg.log_level, cfg.resume = folder, 'ERROR', False
    problems = []
    runner = begin(cfg, args, problems)
    dataset = runner.train_dataloader.dataset
    classes = names_of(dataset)
    hooks = [hook for hook in runner.hooks if isinstance(hook, DistillHook)]
    teachers = {
        hook: connect(runner, hook, folder, problems) for hook in hooks
    }
    parts = [report.student_part(cfg, runner.model, classes)]
    for hook in hooks:
        parts += report.teacher_parts(hook, teachers[hook], len(hooks) > 1)

    model = runner.model.train()
    data = model.data_preprocessor(next(iter(runner.train_dataloader)), True)
    with ExitStack() as stack:
        shapes = [stack.enter_context(watch(part.model)) for part in parts]
        given, pulls = step(model, data, hooks, problems)
    for hook in hooks:
        hook.distiller.detach()
    macs = [count_macs(part.model, data) for part in parts]

    what = 'the first batch of the data' if args.data else 'noise'
    told = [
        report.compare(parts, macs),
        f'Run on {what}, inputs {tuple(data["inputs"].shape)}.',
    ]
    for hook in hooks:
        told.append(
            report.describe_hook(
                runner, hook, teachers[hook], classes, given, pulls
            )
        )
    if not hooks:
        told.append(
            'Nothing is distilled: `custom_hooks` has no distillation hook.'
        )
    if args.modules:
        told += map(report.list_modules, parts, shapes)
    return Found(told, problems, pulls, runner.max_iters)


@explain_errors()
def main():
    args = parse_args()
    cfg = load_config(args)
    check_start(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    # Keep what data sets print while loading out of the result.
    with (
        TemporaryDirectory() as folder,
        redirect_stdout(sys.stderr),
        safe_loading(args.trust_checkpoint),
        working('running student and teacher'),
    ):
        found = inspect(cfg, args, folder)
    told = [f'# {args.config}', *found.told, report.judge(found.problems)]
    print('\n\n'.join(told))
    return 1 if found.problems else 0


if __name__ == '__main__':
    sys.exit(main())
