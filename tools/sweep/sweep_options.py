"""The options of commands that train what a plan names."""

from pathlib import Path


def add_options(parser, default):
    """Add the options to a parser.

    Args:
        parser (argparse.ArgumentParser): Of the command.
        default (str): The output folder if none is given, in words.
    """
    parser.add_argument(
        '--out', type=Path, help=f'output folder (default: {default})'
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='trainings at once (default: one per GPU of --gpus, else 1)',
    )
    parser.add_argument(
        '--gpus',
        help='GPUs to use, one per training: 0,1; a GPU named twice gets two '
        'trainings at once',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        metavar='SECONDS',
        help='stop a training that takes longer, and count it as failed',
    )


def set_slots(parser, args):
    """Set ``args.slots``, the GPU of each training at once, or end.

    Args:
        parser (argparse.ArgumentParser): Of the command.
        args (argparse.Namespace): Its options.
    """
    gpus = args.gpus.split(',') if args.gpus else None
    jobs = len(gpus or [None]) if args.jobs is None else args.jobs
    if jobs < 1 or (gpus and jobs > len(gpus)):
        parser.error(
            f'expected at least one job and a GPU for each but got --jobs '
            f'{jobs} --gpus {args.gpus}: a GPU may be named twice.'
        )
    args.slots = gpus[:jobs] if gpus else [None] * jobs
