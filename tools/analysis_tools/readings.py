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
from mmkd_plugin.cli.progress import track
from mmkd_plugin.cli.quiet_runner import reading_data
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.distill.pulls import reads_logits
from mmkd_plugin.taps import Reading
from mmkd_plugin.teachers.teacher import Teacher


@contextmanager
def listen(distiller, tap):
    """Record what a tap gives to its losses.

    Args:
        distiller (Distiller): Attached to its student.
        tap: One of its taps.

    Yields:
        list[Reading]: One per batch so far, and stage of a cascade, detached.
    """
    found = []
    first = next(t.loss for t in distiller.terms.values() if t.tap is tap)
    handle = first.register_forward_pre_hook(
        lambda module, args: found.append(detach(Reading(*args)))
    )
    try:
        yield found
    finally:
        handle.remove()


def detach(part):
    """A reading, or a part of one, without the graph."""
    if isinstance(part, Reading):
        return Reading(*map(detach, part))
    if isinstance(part, (list, tuple)):
        return type(part)(map(detach, part))
    return part if part is None else part.detach()


@torch.no_grad()
def read(runner, distiller, tap, batches):
    """Collect what a tap reads over some training batches.

    Args:
        runner (Runner): Of a config with a distillation hook.
        distiller (Distiller): Attached to the runner's model.
        tap: One of its taps, of logits.
        batches (int): How many batches to take.

    Returns:
        Reading: Of all samples together, on the CPU.

    Raises:
        SystemExit: If no sample reached the losses.
    """
    model = runner.model.train()
    with listen(distiller, tap) as found:
        for batch in first_batches(runner, batches):
            model(**model.data_preprocessor(batch, True), mode='loss')
    return join(found, batches)


def first_batches(runner, batches):
    """The first batches of the loader of the training.

    Args:
        runner (Runner): Of a config.
        batches (int): How many to take, at most.

    Returns:
        Iterator[dict]: The batches; a terminal shows which it is.
    """
    loader = runner.train_dataloader
    return track(
        islice(loader, batches),
        'reading batches',
        total=min(batches, len(loader)),
    )


def join(found, batches):
    """The readings of logits of several batches as one, on the CPU.

    Args:
        found (list[Reading]): One per batch that reached the losses.
        batches (int): How many batches were run, for the message.

    Returns:
        Reading: Of all samples together.

    Raises:
        SystemExit: If there is no sample.
    """
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


def tap_of_logits(distiller):
    """The first tap that reads the logits of both models' own heads.

    Args:
        distiller (Distiller): Attached to its student.

    Raises:
        SystemExit: If it has none.
    """
    for tap in distiller.taps:
        if reads_logits(tap):
            return tap
    raise SystemExit(
        f'error: {", ".join(distiller.terms)} read features, boxes or a '
        'crossed head, but this command tells of the logits of both models: '
        'give a config with a loss of logits, such as KDLoss.'
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
        help=f'number of batches to run (default: {batches})',
    )
    return parser


def collect(args):
    """Build runner and teacher, and collect the logits of both.

    Args:
        args (argparse.Namespace): Options of :func:`build_parser`.

    Returns:
        tuple: The runner, its tap of logits, the result of :func:`read`, and
        the names of the classes that are left out of it.

    Raises:
        SystemExit: If the config has no or several distillation hooks, no
            term of logits, or the student's checkpoint is missing.
        FileNotFoundError, TypeError, ValueError: If something is wrong with
            the config, the data, the teacher or the student's checkpoint.
    """
    with connect(args) as (runner, distiller):
        tap = tap_of_logits(distiller)
        given = read(runner, distiller, tap, args.batches)
        return runner, tap, given, distiller.teachers[0].missing_names


@contextmanager
def connect(args, change=None):
    """Build runner and teacher, and connect them.

    Args:
        args (argparse.Namespace): Options of :func:`build_parser`.
        change (Callable, optional): Given the config, which it changes.

    Yields:
        tuple: The runner and its distiller, attached.  What data sets print
        goes to stderr.

    Raises:
        See :func:`collect`.
    """
    with safe_loading(args.trust_checkpoint), redirect_stdout(sys.stderr):
        yield _connect(args, change)


def _connect(args, change=None):
    cfg = launch.load_config(args)
    if change is not None:
        change(cfg)
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
    with reading_data(runner):
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
    for loss in distiller.losses.values():
        loss.to(next(runner.model.parameters()).device)
    return runner, distiller
