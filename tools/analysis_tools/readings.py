"""The inputs of a config's distillation losses, without training.

N samples (images, or RoIs that the student samples), C logits per sample.
"""

import sys
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from pathlib import Path

import torch
from mmengine.runner import CheckpointLoader, Runner

from mmkd_plugin import DistillHook
from mmkd_plugin.checkpoints.first_weights import check_first_weights
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli import launch
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.taps import Reading
from mmkd_plugin.teachers.teacher import Teacher


@contextmanager
def listen(distiller):
    """Record the arguments that a distiller's first loss is called with.

    Args:
        distiller (Distiller): Attached to its student.

    Yields:
        list[Reading]: One per batch so far, detached.
    """
    found = []
    first = next(iter(distiller.losses.values()))
    handle = first.register_forward_pre_hook(
        lambda module, args: found.append(Reading(*(x.detach() for x in args)))
    )
    try:
        yield found
    finally:
        handle.remove()


@torch.no_grad()
def read(runner, distiller, batches):
    """Collect the inputs of the losses over some training batches.

    Args:
        runner (Runner): Of a config with a distillation hook.
        distiller (Distiller): Attached to the runner's model.
        batches (int): How many batches to take.

    Returns:
        Reading: Of all samples together, on the CPU.

    Raises:
        SystemExit: If no sample reached the losses.
    """
    model = runner.model.train()
    with listen(distiller) as found:
        for batch in islice(runner.train_dataloader, batches):
            model(**model.data_preprocessor(batch, True), mode='loss')
    if not any(len(reading.student) for reading in found):
        raise SystemExit(
            f'error: No sample reached the losses in {batches} batches: take '
            'more --batches, or check that the training images have boxes.'
        )
    return Reading(
        *(
            torch.cat(
                [x if x.dtype == torch.int64 else x.float() for x in parts]
            ).cpu()
            for parts in zip(*found)
        )
    )


def build_parser(description, batches):
    """Make a parser with the options of :func:`collect`.

    Args:
        description (str): What the tool does.
        batches (int): Default number of batches.

    Returns:
        argparse.ArgumentParser: The tool adds its own options to it.
    """
    parser = launch.build_parser(description)
    parser.add_argument(
        '--student',
        metavar='CHECKPOINT',
        help='weights of the student (default: those that its training '
        'starts from)',
    )
    parser.add_argument(
        '--batches',
        type=int,
        default=batches,
        help=f'number of training batches (default: {batches})',
    )
    return parser


def collect(args):
    """Build runner and teacher, and collect the inputs of the losses.

    Args:
        args (argparse.Namespace): Options of :func:`build_parser`.

    Returns:
        tuple: The runner, its distiller, and the result of :func:`read`.

    Raises:
        SystemExit: If the config has no or several distillation hooks, or
            the student's checkpoint is missing.
        FileNotFoundError, TypeError, ValueError: If something is wrong with
            the config, the data, the teacher or the student's checkpoint.
    """
    with safe_loading(args.trust_checkpoint):
        return _collect(args)


def _collect(args):
    cfg = launch.load_config(args)
    launch.check_start(
        cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper'
    )
    student = args.student
    if student and '://' not in student and not Path(student).is_file():
        raise SystemExit(
            f'error: The checkpoint {student!r} of --student was not found: '
            'give the path or URL of trained weights.'
        )
    cfg.log_level = 'WARNING'
    cfg.setdefault('randomness', dict(seed=0))
    runner = Runner.from_cfg(cfg)
    hooks = [hook for hook in runner.hooks if isinstance(hook, DistillHook)]
    if len(hooks) != 1:
        raise SystemExit(
            f'error: The config {args.config!r} has {len(hooks)} distillation '
            'hooks in `custom_hooks`, of which this command needs one: give '
            'a config with a teacher.'
        )
    (hook,) = hooks
    # Keep what data sets print while loading out of the result.
    with redirect_stdout(sys.stderr):
        check_data(runner, 'train')
        if student:
            content = CheckpointLoader.load_checkpoint(student, 'cpu')
            state, _ = split_checkpoint(content, student)
            load_strictly(runner.model, state, student, role='student')
        else:
            with check_first_weights(runner):
                runner.model.init_weights()
                runner.load_or_resume()
        distiller = hook.distiller
        distiller.attach(
            runner.model,
            [Teacher(**cfg) for cfg in hook.teacher_cfgs],
            names_of(runner.train_dataloader.dataset),
        )
        return runner, distiller, read(runner, distiller, args.batches)
