"""Which checkpoint of a work directory to resume."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from ..checkpoints.atomic import write_text
from ..checkpoints.unpickling import load_from_local
from ..exceptions import MMKDError, MMKDValueError

# MMEngine's name for the file that names the last checkpoint.
LAST = 'last_checkpoint'
# End of the name of a run, and the name of its log folder.
TIMESTAMP = re.compile(r'\d{8}_\d{6}')

# From the content of a checkpoint to the reason not to resume it, or None.
FindProblem = Callable[[dict], str | None]


def name_last(work_dir: str | Path, checkpoint: str | Path) -> None:
    """Make a checkpoint the one that ``--resume`` uses."""
    write_text(Path(work_dir, LAST), str(checkpoint))


def last_named(work_dir: str | Path) -> str | None:
    """Name of the last checkpoint, None if the directory names none."""
    return _read_last(Path(work_dir, LAST))[0]


def _read_last(file: Path) -> tuple[str | None, str | None]:
    """The name in a file, or why it cannot be read."""
    if not os.path.lexists(file):
        return None, 'is missing or empty'
    try:
        # Not opened: reading a pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(file).st_mode):
            return None, 'is no regular file'
        # Longer than any path.
        content = file.read_bytes()[: 1 << 16]
    except OSError as error:
        return None, f'cannot be read ({error.strerror})'
    try:
        name = content.decode().strip()
    except UnicodeDecodeError:
        return None, 'holds bytes that are no text'
    if not name:
        return None, 'is missing or empty'
    if not name.isprintable() or len(name) > 4096:
        return None, 'holds what is no name of a file'
    return name, None


def repair_last(
    work_dir: str | Path, find_problem: FindProblem | None = None
) -> str | None:
    """Make ``last_checkpoint`` name a file that can be resumed.

    A checkpoint that is damaged, missing or not named is replaced by the
    newest complete one of the same run.

    Args:
        work_dir: The work directory.
        find_problem: Why a checkpoint that is not named cannot be resumed.

    Returns:
        What was changed and why; None if nothing was.

    Raises:
        ValueError: If a checkpoint is named and none is complete.
        UnsafeFileError: If the named one holds something that is not known
            to be harmless.
    """
    last = Path(work_dir, LAST)
    named, problem = _read_last(last)
    if named is not None and '://' in named:
        return None
    folders = [Path(work_dir)]
    if named:
        problem = _problem(Path(named))
        if problem is None:
            return None
        problem = f'names {named}, which {problem}'
        if os.path.dirname(named):
            folders.append(Path(named).parent)
    passed: list[str] = []
    file = _newest_whole(folders, passed, find_problem, named or '')
    over = f' Passed over: {"; ".join(passed)}.' if passed else ''
    if file is not None:
        _move_away(last)
        name_last(work_dir, file)
        return (
            f'{LAST} in {work_dir} {problem}: going on from the newest '
            f'whole checkpoint of this run, {file}.{over}'
        )
    if not os.path.lexists(last) or (
        last.is_file() and not last.stat().st_size
    ):
        return (
            f'There is no checkpoint in {work_dir} yet: training starts from '
            f'the beginning.{over}'
        )
    raise MMKDValueError(
        f'{LAST} in {work_dir} {problem}, and there is no whole checkpoint '
        'of this run: name one by --resume CHECKPOINT, or leave --resume out '
        f'to start from the beginning.{over}'
    )


def newest_whole(
    folder: str | Path,
    find_problem: FindProblem | None = None,
    other_than: str = '',
) -> Path | None:
    """The newest checkpoint of a folder that can be resumed.

    Args:
        folder: Where to look.
        find_problem: See :func:`repair_last`.
        other_than: A file to leave out.

    Returns:
        None if there is none.
    """
    return _newest_whole([Path(folder)], [], find_problem, other_than)


def _newest_whole(
    folders: list[Path],
    passed: list[str],
    find_problem: FindProblem | None,
    wrong: str,
) -> Path | None:
    """Newest complete checkpoint; notes in `passed` which others are not.

    The file `wrong` is left out, and one with the same name comes first: in a
    directory that was moved it is the right one, and copies have new times.
    """
    path, name = os.path.realpath(wrong), os.path.basename(wrong)
    files = {
        file
        for folder in {os.path.realpath(folder) for folder in folders}
        if os.path.isdir(folder)
        for file in Path(folder).glob('*.pth')
        if str(file) != path
    }
    order = sorted(
        files, key=lambda f: (f.name == name, _time(f)), reverse=True
    )
    for file in order:
        # Best checkpoints are saved without the optimizer.
        problem = _problem(file, 'optimizer', find_problem=find_problem)
        if problem is None:
            return file
        passed.append(f'{file.name} {problem}')
    return None


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # a broken link
        return 0.0


def _problem(
    file: Path, *needed: str, find_problem: FindProblem | None = None
) -> str | None:
    """Why a file cannot be resumed; None if it can."""
    try:
        if file.is_dir():
            return 'is a folder'
        if not file.is_file():
            return 'is not there'
        content = load_from_local(file)
    except MMKDValueError:
        return 'is damaged'
    except (MMKDError, OSError) as error:
        if not needed and isinstance(error, MMKDError):
            raise  # it was named, and must not be passed over
        return f'cannot be used ({error})'
    held = content if isinstance(content, dict) else {}
    for key in ('meta', 'state_dict', 'message_hub', *needed):
        if key not in held:
            return f'is no checkpoint of a training run: it lacks {key!r}'
    return find_problem(held) if find_problem is not None else None


def is_of_run(runner, meta: dict) -> bool:
    """Whether a checkpoint was saved by a run of this work directory.

    The name of a run ends with its start time, which is also the name of its
    log folder, so a directory that was moved still fits.  Where no older logs
    are left, the first part of the name decides.

    Args:
        runner (Runner): The run to resume.
        meta: ``meta`` of the checkpoint.
    """
    name = str(meta.get('experiment_name', ''))
    time = name[-15:]
    if not TIMESTAMP.fullmatch(time):
        return True  # unknown
    logs = {
        folder.name
        for folder in Path(runner.work_dir).iterdir()
        if folder.is_dir() and TIMESTAMP.fullmatch(folder.name)
    }
    if time in logs or logs - {runner.timestamp}:
        return time in logs
    return name[:-15] == runner.experiment_name[:-15]


def _move_away(last: Path) -> None:
    """Move away a file that cannot be overwritten."""
    if not os.path.lexists(last):
        return
    if last.is_file() and os.access(last, os.R_OK | os.W_OK):
        return
    os.replace(last, last.with_name(f'{LAST}.unreadable'))
