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
# What MMEngine ends the name of a run with, and names a folder of its logs.
TIMESTAMP = re.compile(r'\d{8}_\d{6}')

# Says what keeps the content of a whole checkpoint from being resumed here.
Check = Callable[[dict], str | None]


def name_last(work_dir: str | Path, checkpoint: str | Path) -> None:
    """Make a checkpoint the one that ``--resume`` takes."""
    write_text(Path(work_dir, LAST), str(checkpoint))


def last_named(work_dir: str | Path) -> str | None:
    """Name of the last checkpoint, None if the directory names none."""
    return _read_last(Path(work_dir, LAST))[0]


def _read_last(file: Path) -> tuple[str | None, str | None]:
    """The name in a file, or what keeps it from being read."""
    if not os.path.lexists(file):
        return None, 'is missing or empty'
    try:
        # Not opened: reading a pipe waits for somebody who writes.
        if not stat.S_ISREG(os.stat(file).st_mode):
            return None, 'is no regular file'
        # More than a path can be long.
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
    work_dir: str | Path, check: Check | None = None
) -> str | None:
    """Make ``last_checkpoint`` name a file that can be resumed.

    A checkpoint that is damaged, missing or not named gives way to the
    newest whole one of the same run.

    Args:
        work_dir: The work directory.
        check: What else keeps one from being resumed
            that is not named.

    Returns:
        str, optional: What was changed and why; None if nothing was.

    Raises:
        ValueError: If a checkpoint is named and there is no whole one.
        UnsafeFileError: If the named one holds what is not known to be
            harmless.
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
    file = _newest_whole(folders, passed, check, named or '')
    over = f' Passed over: {"; ".join(passed)}.' if passed else ''
    if file is not None:
        _make_room(last)
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
    folder: str | Path, check: Check | None = None, other_than: str = ''
) -> Path | None:
    """The newest checkpoint of a folder that can be resumed.

    Args:
        folder: Where to look.
        check: As of :func:`repair_last`.
        other_than: A file to leave out.

    Returns:
        Path, optional: None if there is none.
    """
    return _newest_whole([Path(folder)], [], check, other_than)


def _newest_whole(
    folders: list[Path],
    passed: list[str],
    check: Check | None,
    wrong: str,
) -> Path | None:
    """Newest whole checkpoint; notes those that are passed over and why.

    The file `wrong` is left out, and one of its name comes first: in a
    directory that was moved it is the one, and copies have new times.
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
        # The best ones are saved without the optimizer.
        problem = _problem(file, 'optimizer', check=check)
        if problem is None:
            return file
        passed.append(f'{file.name} {problem}')
    return None


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # a link to nowhere
        return 0.0


def _problem(
    file: Path, *needed: str, check: Check | None = None
) -> str | None:
    """What keeps a file from being resumed, None if nothing does."""
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
        return f'cannot be taken ({error})'
    held = content if isinstance(content, dict) else {}
    for key in ('meta', 'state_dict', 'message_hub', *needed):
        if key not in held:
            return f'is no checkpoint of a training run: it lacks {key!r}'
    return check(held) if check is not None else None


def is_of_run(runner, meta: dict) -> bool:
    """Whether a checkpoint was saved by a run of this work directory.

    MMEngine ends the name of a run with the time of its start, and names
    the folder of its logs by it, so a directory that was moved knows its
    own.  Where no older logs are left, the first part of the name decides.

    Args:
        runner (Runner): The run that is to go on.
        meta: ``meta`` of the checkpoint.
    """
    name = str(meta.get('experiment_name', ''))
    time = name[-15:]
    if not TIMESTAMP.fullmatch(time):
        return True  # nothing tells
    logs = {
        folder.name
        for folder in Path(runner.work_dir).iterdir()
        if folder.is_dir() and TIMESTAMP.fullmatch(folder.name)
    }
    if time in logs or logs - {runner.timestamp}:
        return time in logs
    return name[:-15] == runner.experiment_name[:-15]


def _make_room(last: Path) -> None:
    """Move away what cannot be written over."""
    if not os.path.lexists(last):
        return
    if last.is_file() and os.access(last, os.R_OK | os.W_OK):
        return
    os.replace(last, last.with_name(f'{LAST}.unreadable'))
