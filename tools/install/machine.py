"""What the set-up finds on this machine, and what it cannot do without."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from remedies import DISK_GB, SetupError

PYTHONS = ((3, 10), (3, 11), (3, 12))
JOB_GB = 2  # memory that one compiler process may take


def check_python(version):
    """Raises SetupError unless the stack supports this Python."""
    if tuple(version[:2]) not in PYTHONS:
        raise SetupError(
            f'Expected Python 3.10, 3.11 or 3.12 but got {version[0]}.'
            f'{version[1]}: name another one, as in '
            '`make setup PYTHON=python3.11`.'
        )


def check_disk(folder):
    """Raises SetupError if the environment would not fit on the disk."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < DISK_GB:
        raise SetupError(
            f'Expected {DISK_GB} GB of free disk space in {folder} but got '
            f'{free:.1f} GB: free some, or pass --venv with a folder on '
            'another disk.'
        )


def check_compiler(include):
    """Raises SetupError if mmcv's ops can not be compiled.

    Args:
        include (str): The folder that should hold ``Python.h``.
    """
    compiler = os.environ.get('CXX', 'c++').split()[0]
    if not (shutil.which(compiler) or shutil.which('g++')):
        raise SetupError(
            "No C++ compiler found, which mmcv's ops need: install one "
            '(Debian, Ubuntu: `apt-get install g++`), or name a folder with '
            'a prebuilt wheel in MMKD_WHEELS.'
        )
    if not Path(include, 'Python.h').exists():
        raise SetupError(
            f"No Python.h found in {include}, which mmcv's ops need: install "
            "Python's headers (Debian, Ubuntu: `apt-get install "
            'python3-dev`), or name a folder with a prebuilt wheel in '
            'MMKD_WHEELS.'
        )


def count_jobs():
    """Returns how many compiler processes cores and memory allow."""
    if 'MAX_JOBS' in os.environ:
        return int(os.environ['MAX_JOBS'])
    cores = len(os.sched_getaffinity(0))
    pages = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return max(1, min(cores, int(pages / 1e9 / JOB_GB)))


def find_nvcc(cuda):
    """Returns the CUDA compiler that fits a torch, or None.

    Args:
        cuda (str): The CUDA version torch was built with, such as '13.0'.
            PyTorch's extension builder demands the same major version.
    """
    homes = [os.environ.get('CUDA_HOME'), '/usr/local/cuda']
    places = [str(Path(home, 'bin', 'nvcc')) for home in homes if home]
    for place in filter(shutil.which, [*places, 'nvcc']):
        text = subprocess.run(
            [place, '--version'], capture_output=True, text=True
        ).stdout
        release = re.search(r'release (\d+)\.', text)
        if release and release.group(1) == cuda.split('.')[0]:
            return place
    return None


def find_python(version):
    """Returns the path of an interpreter that can make environments, or None.

    Args:
        version (tuple[int, int]): Such as (3, 12).
    """
    if version == sys.version_info[:2]:
        return sys.executable
    name = f'python{version[0]}.{version[1]}'
    if shutil.which(name) is None:
        return None
    # It may be a shim that runs nothing, or lack Debian's python3-venv.
    code = 'import ensurepip, sys, venv; print(sys.executable)'
    result = subprocess.run([name, '-c', code], capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def has_gpu():
    """Whether mmcv is wanted for a GPU, as far as is seen without torch."""
    if 'FORCE_CUDA' in os.environ:
        return os.environ['FORCE_CUDA'] == '1'
    return shutil.which('nvidia-smi') is not None
