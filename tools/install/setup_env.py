"""Installs everything that this project needs into a virtual environment.

``make setup`` calls it. It needs the standard library alone. After any
interruption, running it again continues from there: pip skips what is
installed, the wheel with mmcv's compiled ops is kept once it is built, and
the environment counts as ready only after
``tools/install/check_install.py`` has passed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STACKS = ('onedl', 'openmmlab')
PYTHONS = ((3, 10), (3, 11), (3, 12))
DISK_GB = 9  # torch with its CUDA libraries unpacked, plus pip's cache
JOB_GB = 2  # memory that one compiler process may take
BUILD_MINUTES = 20  # of one core, for mmcv's CPU ops
# Settings that would make pip install outside of the environment.
PIP_PLACES = ('PIP_PREFIX', 'PIP_ROOT', 'PIP_TARGET', 'PIP_USER')
BEAT = 30  # seconds between two progress messages

LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB
INCLUDE = "import sysconfig; print(sysconfig.get_path('include'))"

# Pattern in a log of pip or the compiler, and what a user can do about it.
REMEDIES = (
    (
        r'No space left on device',
        'The disk is full: free {disk} GB and run it again.',
    ),
    (
        r'Temporary failure in name resolution|Name or service not known'
        r'|NewConnectionError|ConnectTimeout|Read timed out|ProxyError',
        'pip could not reach the package index: check the network, or set '
        'HTTPS_PROXY or PIP_INDEX_URL, and run it again.',
    ),
    (
        r'Killed signal|internal compiler error',
        'The compiler ran out of memory: run it again with MAX_JOBS=1.',
    ),
    (
        r'No matching distribution found for (?P<name>\S+)',
        'The package index has no {name} for this Python and machine: check '
        'PIP_INDEX_URL, or use Linux on x86_64 with Python 3.10 to 3.12.',
    ),
)


class SetupError(Exception):
    """What stops the set-up, in one sentence for the user."""


def check_python(version=sys.version_info):
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


def explain(log):
    """Returns the sentence that fits a failed command's log, or None."""
    for pattern, remedy in REMEDIES:
        match = re.search(pattern, log)
        if match:
            return remedy.format(disk=DISK_GB, **match.groupdict())
    return None


def read_progress(log):
    """Returns ninja's last '[12/104]' in a log, or an empty string."""
    counts = re.findall(r'^\s*\[(\d+/\d+)\]', log, re.MULTILINE)
    return f', {counts[-1]} files compiled' if counts else ''


def say(text):
    print(text, flush=True)


class Environment:
    """A virtual environment with one stack.

    Args:
        path (Path): Its folder.
        stack (str): 'onedl' or 'openmmlab'.
        find_links (str): A folder or page with prebuilt wheels, or ''.
    """

    def __init__(self, path, stack, find_links=''):
        self.path = path.resolve()
        self.stack = stack
        self.find_links = find_links
        self.python = self.path / 'bin' / 'python'
        self.tmp = self.path / 'tmp'
        self.logs = self.path / 'logs'
        self.owner = self.path / 'stack.txt'
        self.stamp = self.path / 'ready.txt'
        names = ('torch', stack, 'tests')
        self.requirements = [
            ROOT / 'requirements' / f'{name}.txt' for name in names
        ]
        pins = self.requirements[1].read_text().split()
        self.mmcv = next(pin for pin in pins if 'mmcv' in pin)
        drop = {'PYTHONPATH', 'PYTHONHOME', *PIP_PLACES}
        self.environ = {k: v for k, v in os.environ.items() if k not in drop}
        self.environ.update(
            PATH=f'{self.python.parent}{os.pathsep}{os.environ["PATH"]}',
            PIP_DISABLE_PIP_VERSION_CHECK='1',
            PIP_NO_INPUT='1',
            PYTHONNOUSERSITE='1',
            TMPDIR=str(self.tmp),
        )

    def fingerprint(self):
        """Returns what the stamp must say for the environment to be ready."""
        digest = hashlib.sha256(str(ROOT).encode())
        for file in [*self.requirements, ROOT / 'setup.py']:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def is_ready(self):
        return (
            self.python.exists()
            and self.stamp.exists()
            and self.stamp.read_text() == self.fingerprint()
        )

    def claim(self):
        """Makes the folder, or raises SetupError if it is something else."""
        if self.path.exists() and any(self.path.iterdir()):
            owner = self.owner.read_text() if self.owner.exists() else None
            if owner != self.stack:
                raise SetupError(
                    f'Expected {self.path} to be an environment of stack '
                    f'{self.stack!r} but found '
                    f'{repr(owner) if owner else "something else"}: remove '
                    'it, or pass --venv with another folder.'
                )
        self.path.mkdir(parents=True, exist_ok=True)
        self.owner.write_text(self.stack)

    def lock(self):
        """Waits until no other set-up, or command of a killed one, runs.

        Commands inherit the lock file, so a pip that outlives a killed set-up
        still holds it.
        """
        self.lock_file = open(self.path / 'lock', 'w')  # noqa: SIM115
        for second in itertools.count():
            try:
                return fcntl.flock(self.lock_file, LOCK)
            except BlockingIOError:
                if second % BEAT == 0:
                    say(f'Waiting for another set-up to end ({second} s).')
                time.sleep(1)

    def run(self, command, log, hint=True, **environ):
        """Runs a command, with a progress message every half minute.

        Args:
            command (list[str]): The command.
            log (str): Name of the file in ``logs`` that gets its output.
            hint (bool): Whether a failure stops the set-up and prints the end
                of the log. If not, the caller checks the returned value.
            **environ: Changes to the environment variables.

        Returns:
            bool: Whether the command succeeded.
        """
        file = self.logs / f'{log}.log'
        start = time.time()
        with file.open('w') as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environ, **environ},
                cwd=ROOT,
                pass_fds=[self.lock_file.fileno()],
            )
            while True:
                try:
                    code = process.wait(BEAT)
                    break
                except subprocess.TimeoutExpired:
                    minutes, seconds = divmod(int(time.time() - start), 60)
                    done = read_progress(file.read_text(errors='replace'))
                    say(f'   ... {minutes} min {seconds:02d} s{done}')
        if code and hint:
            text = file.read_text(errors='replace')
            say('\n'.join(text.splitlines()[-30:]))
            raise SetupError(
                explain(text)
                or f'The command `{" ".join(map(str, command))}` failed with '
                f'exit code {code}: see {file}, mend the cause and run it '
                'again.'
            )
        return code == 0

    def pip(self, *args, log, hint=True, **environ):
        command = [self.python, '-m', 'pip', *args]
        if args[0] in ('install', 'download', 'wheel'):
            command += ['--progress-bar', 'off']
            if self.find_links:
                command += ['--find-links', self.find_links]
        return self.run(command, log, hint=hint, **environ)

    def ask(self, code):
        """Returns the output of Python code in the environment, or None."""
        result = subprocess.run(
            [self.python, '-c', code],
            capture_output=True,
            text=True,
            env=self.environ,
            cwd=self.path,
        )
        return result.stdout.strip() if result.returncode == 0 else None

    def create(self):
        """Step 1: the virtual environment itself, with build tools."""
        if not self.python.exists() or self.ask('import pip') is None:
            check_python()
            check_disk(self.path)
            for name in ('bin', 'include', 'lib', 'lib64', 'pyvenv.cfg'):
                place = self.path / name
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                else:
                    place.unlink(missing_ok=True)
            if not self.run(
                [sys.executable, '-m', 'venv', self.path], 'venv', hint=False
            ):
                raise SetupError(
                    f'`{sys.executable} -m venv` failed: install the module '
                    '(Debian, Ubuntu: `apt-get install python3-venv`) and '
                    f'run it again, or see {self.logs / "venv.log"}.'
                )
        self.drop_leftovers()
        tools = ('pip>=24', 'setuptools>=70,<81', 'wheel', 'ninja')
        self.pip('install', *tools, log='tools')
        # Report a missing compiler before a long download.
        local = self.find_links or os.environ.get('PIP_FIND_LINKS')
        if not (local or list(self.path.glob('wheels/*/*.whl'))):
            check_compiler(self.ask(INCLUDE))

    def drop_leftovers(self):
        """Removes what an interrupted pip left half installed.

        pip writes a distribution's RECORD last, and renames what it is about
        to remove to '~...'.
        """
        for site in self.path.glob('lib/python3*/site-packages'):
            for place in [*site.glob('*.dist-info'), *site.glob('~*')]:
                if not (place / 'RECORD').exists():
                    shutil.rmtree(place, ignore_errors=True)

    def install_torch(self):
        """Step 2."""
        self.pip('install', '-r', self.requirements[0], log='torch')

    def find_wheel(self):
        """Returns mmcv's wheel from an earlier build, or None."""
        for wheel in self.wheels.glob('*.whl'):
            if zipfile.is_zipfile(wheel):
                return wheel
            wheel.unlink()  # cut off while pip wrote it
        return None

    def fetch_wheel(self):
        """Takes mmcv's wheel from pip's --find-links."""
        found = self.pip(
            'download',
            '--no-index',
            '--no-deps',
            '--only-binary=:all:',
            '--dest',
            self.wheels,
            self.mmcv,
            log='mmcv-fetch',
            hint=False,
        )
        if not found and self.find_links:
            say(f'   no wheel of {self.mmcv} that fits in {self.find_links}')
        return found

    def build_wheel(self):
        """Compiles mmcv with its ops against the installed torch."""
        check_compiler(self.ask(INCLUDE))
        jobs = count_jobs()
        environ = {
            'MMCV_WITH_OPS': '1',
            'CFLAGS': os.environ.get('CFLAGS', '-O2 -g0 -DNDEBUG -w'),
            'MAX_JOBS': str(jobs),
        }
        cuda, has_gpu = self.ask(
            'import torch\n'
            'print(torch.version.cuda, torch.cuda.is_available())'
        ).split()
        fits = has_gpu == 'True' and find_nvcc(cuda) is not None
        environ['FORCE_CUDA'] = os.environ.get('FORCE_CUDA', str(int(fits)))
        if environ['FORCE_CUDA'] == '1':
            kind = 'CPU and CUDA ops, several times as long as CPU ops alone'
        else:
            minutes = max(1, round(BUILD_MINUTES / jobs))
            kind = f'CPU ops, about {minutes} min with {jobs} jobs'
            environ['CUDA_VISIBLE_DEVICES'] = ''
            if has_gpu == 'True' and not fits:
                say(
                    f'   There is a GPU but no nvcc of CUDA {cuda}: mmcv gets '
                    'CPU ops only. To train on the GPU, install that CUDA '
                    f'toolkit, set CUDA_HOME, remove {self.path} and run it '
                    'again; until then, run with CUDA_VISIBLE_DEVICES= set.'
                )
        say(f'   compiling {self.mmcv} ({kind}), once')
        # Never from pip's cache, whose wheel may be of another torch.
        self.pip(
            'wheel',
            '-v',
            '--no-cache-dir',
            '--no-deps',
            '--no-build-isolation',
            '--wheel-dir',
            self.wheels,
            self.mmcv,
            log='mmcv-build',
            **environ,
        )

    def get_mmcv(self):
        """Step 3: a wheel of mmcv with ops."""
        version = self.ask('import torch; print(torch.__version__)')
        if version is None:
            raise SetupError(
                f'torch is installed but does not load: remove {self.path} '
                'and run it again.'
            )
        # An extension fits only the torch that it was compiled against.
        self.wheels = self.path / 'wheels' / f'torch-{version}'
        if not (self.find_wheel() or self.fetch_wheel()):
            self.build_wheel()
        say(f'   {self.find_wheel().name}')

    def install_stack(self):
        """Step 4: the stack, what the tests need, and the plugin."""
        self.pip(
            'install',
            '--no-build-isolation',
            self.find_wheel(),
            *(f'--requirement={file}' for file in self.requirements),
            log='stack',
        )
        if self.ask('import cv2') is None:
            # Servers often lack libGL, which OpenCV's windows need.
            say('   OpenCV does not load: taking its build without windows')
            version = self.ask(
                'from importlib.metadata import version\n'
                "print(version('opencv-python'))"
            )
            self.pip(
                'install',
                '--no-deps',
                '--force-reinstall',
                f'opencv-python-headless=={version}',
                log='opencv',
            )
        if self.ask('import mmcv.ops') is None:
            # The installed one may be built against an earlier torch.
            wheel = self.find_wheel()
            self.pip(
                'install', '--no-deps', '--force-reinstall', wheel, log='mmcv'
            )
            if self.ask('import cv2, mmengine') is not None and (
                self.ask('import mmcv.ops') is None
            ):
                wheel.unlink()  # the self-check will say why
        self.pip(
            'install',
            '--no-build-isolation',
            '--no-deps',
            '--editable',
            ROOT,
            log='plugin',
        )

    def check(self):
        """Step 5: the self-check."""
        command = [
            self.python,
            ROOT / 'tools' / 'install' / 'check_install.py',
        ]
        if not self.run(command, 'check', hint=False):
            say((self.logs / 'check.log').read_text())
            raise SetupError(
                'The self-check failed, for the reason above: mend it and '
                'run it again, without MMKD_WHEELS if it was set.'
            )
        say((self.logs / 'check.log').read_text())

    def set_up(self):
        """Goes through all steps that are still needed."""
        if self.is_ready():
            return
        self.claim()
        self.lock()
        if self.is_ready():
            return
        self.stamp.unlink(missing_ok=True)
        shutil.rmtree(self.tmp, ignore_errors=True)
        for folder in (self.tmp, self.logs):
            folder.mkdir(exist_ok=True)
        say(
            f'Setting up stack {self.stack!r} in {self.path} (about '
            f'{DISK_GB} GB; interrupt it when you like, it resumes; logs are '
            f'in {self.logs}).'
        )
        steps = (
            ('virtual environment', self.create),
            ('torch and torchvision, a download of 2 GB', self.install_torch),
            ('mmcv with its ops, the slow step', self.get_mmcv),
            ('the other packages', self.install_stack),
            ('self-check', self.check),
        )
        for number, (title, step) in enumerate(steps, 1):
            say(f'[{number}/{len(steps)}] {title}')
            start = time.time()
            step()
            say(f'   done in {time.time() - start:.0f} s')
        shutil.rmtree(self.tmp)
        self.stamp.write_text(self.fingerprint())
        say(f'Ready: {self.python}')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--stack',
        choices=STACKS,
        default='onedl',
        help='family of mm* distributions (default: %(default)s)',
    )
    parser.add_argument(
        '--venv',
        type=Path,
        help='folder of the environment (default: .venv, or .venv-openmmlab '
        'with that stack)',
    )
    parser.add_argument(
        '--find-links',
        default=os.environ.get('MMKD_WHEELS', ''),
        help='folder or page with prebuilt wheels (default: $MMKD_WHEELS)',
    )
    args = parser.parse_args(argv)
    if args.venv is None:
        suffix = '' if args.stack == 'onedl' else f'-{args.stack}'
        args.venv = ROOT / f'.venv{suffix}'
    if args.find_links and '://' not in args.find_links:
        if not Path(args.find_links).is_dir():
            parser.error(
                'expected MMKD_WHEELS or --find-links to name a folder or URL '
                f'but got {args.find_links!r}, which does not exist'
            )
        args.find_links = str(Path(args.find_links).resolve())
    return args


def main():
    args = parse_args()
    try:
        Environment(args.venv, args.stack, args.find_links).set_up()
    except SetupError as error:
        sys.exit(f'ERROR: {error}')
    except KeyboardInterrupt:
        sys.exit('Interrupted: run it again to go on from here.')


if __name__ == '__main__':
    main()
