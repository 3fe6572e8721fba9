"""What must be there before anything is installed."""

import os
import sys
from collections import namedtuple
from pathlib import Path

import machine
import pytest
from remedies import SetupError


@pytest.mark.parametrize('version', [(3, 9, 1), (3, 13, 0), (2, 7, 18)])
def test_other_pythons_are_refused(version):
    with pytest.raises(SetupError, match=f'got {version[0]}.{version[1]}:'):
        machine.check_python(version)


@pytest.mark.parametrize('version', [(3, 10, 0), (3, 11, 7), (3, 12, 1)])
def test_supported_pythons_pass(version):
    machine.check_python(version)


def test_a_full_disk_is_refused(monkeypatch, tmp_path):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(
        machine.shutil, 'disk_usage', lambda _: usage(9e9, 4e9, 5e9)
    )
    with pytest.raises(SetupError, match='but got 5.0 GB'):
        machine.check_disk(tmp_path)


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(SetupError, match='No C.. compiler'):
        machine.check_compiler(tmp_path)


def test_missing_headers_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.shutil, 'which', lambda name: name)
    with pytest.raises(SetupError, match='No Python.h found in'):
        machine.check_compiler(tmp_path)
    (tmp_path / 'Python.h').touch()
    machine.check_compiler(tmp_path)


def test_jobs_are_bounded_by_cores_and_memory(monkeypatch):
    memory = {'SC_PAGE_SIZE': 4096}
    monkeypatch.delenv('MAX_JOBS', raising=False)
    monkeypatch.setattr(machine.os, 'sysconf', memory.__getitem__)
    monkeypatch.setattr(
        machine.os, 'sched_getaffinity', lambda _: set(range(8))
    )
    for gigabytes, jobs in ((64, 8), (7, 3), (0.5, 1)):
        memory['SC_AVPHYS_PAGES'] = int(gigabytes * 1e9 / 4096)
        assert machine.count_jobs() == jobs
    monkeypatch.setenv('MAX_JOBS', '5')
    assert machine.count_jobs() == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    'cuda, found', [('13.0', True), ('13.2', True), ('12.8', False)]
)
def test_nvcc_must_be_of_torch_s_major_version(
    monkeypatch, tmp_path, cuda, found
):
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda tools, release 13.1, V13.1.2"\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    monkeypatch.setattr(
        machine.shutil, 'which', lambda name: name == str(nvcc) or None
    )
    assert machine.find_nvcc(cuda) == (str(nvcc) if found else None)


@pytest.mark.slow
def test_another_python_must_run_and_make_environments(monkeypatch, tmp_path):
    place = tmp_path / 'python3.9'
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    place.write_text('#!/bin/sh\necho "command not found" >&2; exit 127\n')
    place.chmod(0o755)
    assert machine.find_python((3, 9)) is None
    place.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    assert machine.find_python((3, 9)) == sys.executable


def test_the_python_at_hand_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    assert machine.find_python(sys.version_info[:2]) == sys.executable
    assert machine.find_python((3, 99)) is None


def test_the_package_takes_the_same_pythons():
    text = (Path(__file__).parents[3] / 'setup.py').read_text()
    first, last = machine.PYTHONS[0], machine.PYTHONS[-1]
    assert f">={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}'" in text
    for major, minor in machine.PYTHONS:
        assert f'Python :: {major}.{minor}' in text


def test_a_gpu_is_taken_for_there_where_its_driver_is(monkeypatch, tmp_path):
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    assert not machine.has_gpu()
    (tmp_path / 'nvidia-smi').touch()
    (tmp_path / 'nvidia-smi').chmod(0o755)
    assert machine.has_gpu()
    monkeypatch.setenv('FORCE_CUDA', '0')
    assert not machine.has_gpu()
