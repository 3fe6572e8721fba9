"""Which checkpoint of a work directory to resume."""

from pathlib import Path

from .atomic import write_text
from .exceptions import MMKDValueError
from .unpickling import load_from_local

# MMEngine's name for the file that names the last checkpoint.
LAST = 'last_checkpoint'


def name_last(work_dir: str | Path, checkpoint: str | Path) -> None:
    """Make a checkpoint the one that ``--resume`` takes."""
    write_text(Path(work_dir, LAST), str(checkpoint))


def last_named(work_dir: str | Path) -> str | None:
    """Name of the last checkpoint, None if the directory names none."""
    file = Path(work_dir, LAST)
    return file.read_text().strip() if file.is_file() else None


def repair_last(work_dir: str | Path) -> str | None:
    """Make ``last_checkpoint`` name a file that can be resumed.

    A checkpoint that is damaged, missing or not named gives way to the
    newest whole one.

    Args:
        work_dir (str | Path): The work directory.

    Returns:
        str, optional: What was changed and why; None if nothing was.

    Raises:
        ValueError: If a checkpoint is named and there is no whole one.
        UnsafeFileError: If one holds what is not known to be harmless.
    """
    named = last_named(work_dir)
    if named is not None and '://' in named:
        return None
    problem: str | None = 'is missing or empty'
    folders = {Path(work_dir).resolve()}
    if named:
        problem = _problem(Path(named))
        if problem is None:
            return None
        problem = f'names {named}, which {problem}'
        folders.add(Path(named).resolve().parent)
    files = [file for folder in folders for file in folder.glob('*.pth')]
    for file in sorted(files, key=lambda f: f.stat().st_mtime, reverse=True):
        # The best ones are saved without the optimizer.
        if _problem(file, 'optimizer') is None:
            name_last(work_dir, file)
            return (
                f'{LAST} in {work_dir} {problem}: going on from the newest '
                f'whole checkpoint, {file}.'
            )
    if named is None:
        return (
            f'There is no checkpoint in {work_dir} yet: training starts from '
            'the beginning.'
        )
    raise MMKDValueError(
        f'{LAST} in {work_dir} {problem}, and there is no whole checkpoint: '
        'name one by --resume CHECKPOINT, or leave --resume out to start '
        'from the beginning.'
    )


def _problem(file: Path, *needed: str) -> str | None:
    """What keeps a file from being resumed, None if nothing does."""
    if not file.is_file():
        return 'is not there'
    try:
        content = load_from_local(file)
    except ValueError:
        return 'is damaged'
    for key in ('meta', 'state_dict', 'message_hub', *needed):
        if not isinstance(content, dict) or key not in content:
            return f'is no checkpoint of a training run: it lacks {key!r}'
    return None
