"""Rows in files."""

import os
import shutil

import numpy as np
import pytest

from mmkd_plugin.teachers.cache import store as module
from mmkd_plugin.teachers.cache.store import LOGITS, SUMS, Store, create

ROWS, COLUMNS = 50, 3


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / 'deep' / 'cache'
    create(path, ROWS, COLUMNS, '{}')
    return path


def opened(folder):
    return Store(folder, ROWS, COLUMNS)


def some(*rows):
    rows = np.array(rows)
    numbers = np.random.default_rng(0).normal(size=(len(rows), COLUMNS))
    return rows, numbers.astype(np.float32)


def overwrite(path, place, content):
    with open(path, 'r+b') as file:
        file.seek(place)
        file.write(content)


def test_rows_come_back(folder):
    rows, logits = some(7, 0, 49)
    opened(folder).write(rows, logits)
    # Of another process, perhaps.
    found, filled = opened(folder).read(np.array([49, 1, 7, 7]))
    assert filled.tolist() == [True, False, True, True]
    assert np.array_equal(found[[0, 2, 3]], logits[[2, 0, 0]])
    assert opened(folder).filled().tolist() == [0, 7, 49]


def test_what_is_written_is_seen_by_an_open_store(folder):
    reader = opened(folder)
    rows, logits = some(3)
    opened(folder).write(rows, logits)
    found, filled = reader.read(rows)
    assert filled.all() and np.array_equal(found, logits)


def test_zeros_and_nothing_are_rows_too(folder):
    store = opened(folder)
    rows = np.array([4])
    assert not store.read(rows)[1].any()
    store.write(rows, np.zeros((1, COLUMNS)))
    assert store.read(rows)[1].all()
    logits, filled = store.read(np.zeros(0, np.int64))
    assert logits.shape == (0, COLUMNS) and filled.shape == (0,)


def test_any_changed_number_empties_a_row(folder):
    store = opened(folder)
    rows, logits = some(*range(COLUMNS))
    store.write(rows, logits)
    begin = os.path.getsize(folder / LOGITS) - 4 * ROWS * COLUMNS
    for row in range(COLUMNS):
        # One bit of one number in each row.
        place = begin + 4 * (COLUMNS * row + row)
        byte = logits[row, row].tobytes()[0]
        overwrite(folder / LOGITS, place, bytes([byte ^ 1]))
    assert not store.read(rows)[1].any()
    store.write(rows, logits)
    assert store.read(rows)[1].all()


def test_half_written_rows_are_empty(folder, monkeypatch):
    """Killed between the row and its checksum, or within the row."""
    store = opened(folder)
    rows, logits = some(1, 2)
    really = os.pwrite
    for number in range(4):
        left = [number]

        def write(file, content, place, left=left):
            if not left[0]:
                really(file, content[: len(content) // 2], place)
                raise KeyboardInterrupt
            left[0] -= 1
            return really(file, content, place)

        monkeypatch.setattr(os, 'pwrite', write)
        with pytest.raises(KeyboardInterrupt):
            store.write(rows, logits + number)
        monkeypatch.setattr(os, 'pwrite', really)
        found, filled = store.read(rows)
        # A row that counts is whole; one of the try before has gone.
        assert np.array_equal(found[filled], (logits + number)[filled])
        store.clear(rows)
        assert not store.read(rows)[1].any()


def test_two_processes_at_once(folder):
    """A mixture of what two wrote is no row."""
    store = opened(folder)
    rows, logits = some(5)
    store.write(rows, logits)
    begin = os.path.getsize(folder / LOGITS) - 4 * ROWS * COLUMNS
    other = (logits + 1e-6).astype(np.float32)[0, :1].tobytes()
    overwrite(folder / LOGITS, begin + 4 * COLUMNS * 5, other)
    assert not store.read(rows)[1].any()


@pytest.mark.parametrize('rows', [[-1, 3], [0, ROWS]])
def test_numbers_out_of_range(folder, rows):
    with pytest.raises(ValueError, match=f'rows from 0 to {ROWS - 1} of'):
        opened(folder).read(np.array(rows))


def test_files_take_no_place_before_they_are_filled(tmp_path):
    create(tmp_path / 'c', 10**6, 100, '')
    assert (tmp_path / 'c' / LOGITS).stat().st_size > 4 * 10**8
    assert (tmp_path / 'c' / LOGITS).stat().st_blocks < 1000


def test_the_second_to_create_leaves_the_first_alone(folder, monkeypatch):
    rows, logits = some(1)
    opened(folder).write(rows, logits)
    create(folder, ROWS, COLUMNS, 'other')
    # Both saw no folder: the one that comes later finds it there.
    seen = iter([False, True])
    monkeypatch.setattr(module.Path, 'is_file', lambda path: next(seen))
    create(folder, ROWS, COLUMNS, 'other')
    assert opened(folder).read(rows)[1].all()
    assert [path.name for path in folder.parent.iterdir()] == ['cache']


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / 'c').mkdir()
    create(tmp_path / 'c', ROWS, COLUMNS, '{}')
    assert len(opened(tmp_path / 'c')) == ROWS


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / 'mine.txt').write_text('x')
    with pytest.raises(ValueError, match='files but no manifest.json'):
        create(tmp_path, ROWS, COLUMNS, '{}')
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / 'c').write_text('x')
    for path in (tmp_path / 'c', tmp_path / 'c' / 'd'):
        with pytest.raises(OSError, match='could not be made'):
            create(path, ROWS, COLUMNS, '{}')


@pytest.mark.parametrize('name', [LOGITS, SUMS])
@pytest.mark.parametrize(
    'damage, reason',
    [
        (lambda path: path.unlink(), 'is not there'),
        (lambda path: path.write_bytes(b''), 'cannot be read'),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            'cannot be read',
        ),
        (lambda path: path.write_bytes(b'x' * 500), 'cannot be read'),
        (
            lambda path: np.save(path, np.array([{}], object)),
            'cannot be read',
        ),
        (lambda path: np.save(path, np.zeros(3)), 'holds float64 of shape'),
        (
            lambda path: shutil.move(_npz(path), path),
            'holds NpzFile of shape',
        ),
    ],
)
def test_damaged_files(folder, name, damage, reason):
    damage(folder / name)
    with pytest.raises(ValueError, match=f'{name} .*{reason}.*: delete'):
        opened(folder)


def _npz(path):
    other = path.with_suffix('.npz')
    np.savez(other, np.zeros(3))
    return other


def test_no_place_on_the_disk(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    needed = 4 * ROWS * (COLUMNS + 1)
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(
            shutil,
            'disk_usage',
            lambda _, free=free: usage._replace(free=free),
        )
        if fits:
            opened(folder)
        else:
            with pytest.raises(OSError, match='need another 0.00 GB, but'):
                opened(folder)
    monkeypatch.undo()
    opened(folder).write(*some(*range(ROWS)))
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=0))
    # All rows are there: nothing more is needed.
    assert len(opened(folder)) == ROWS


def test_a_disk_that_gets_full(folder, monkeypatch):
    def write(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'pwrite', write)
    with pytest.raises(OSError, match='could not be written to .*No space'):
        opened(folder).write(*some(1))


@pytest.mark.slow
def test_two_writers_of_the_same_rows(folder):
    """A row that is read is one of the two, never a mixture."""
    rows, first = some(*range(ROWS))
    second = first[::-1].copy()
    children = []
    for logits in (first, second):
        child = os.fork()
        if child == 0:
            store = opened(folder)
            for _ in range(400):
                store.write(rows, logits)
            os._exit(0)
        children.append(child)
    store = opened(folder)
    while children:
        found, filled = store.read(rows)
        one, other = ((found == x).all(1) for x in (first, second))
        assert (one | other)[filled].all()
        children = [x for x in children if not os.waitpid(x, os.WNOHANG)[0]]
    assert store.read(rows)[1].any()
