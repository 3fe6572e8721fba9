"""Installs everything that this project needs into a virtual environment.

``make setup`` calls it. It needs the standard library alone. After any
interruption, running it again continues from there: pip skips what is
installed, the wheel with mmcv's compiled ops is kept once it is there, and
the environment counts as ready only after
``tools/install/check_install.py`` has passed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import running
from machine import (
    PYTHONS,
    check_compiler,
    check_disk,
    check_python,
    find_python,
)
from mmcv_ops import INCLUDE, MmcvOps
from pairs import PAIRS, REQUIREMENTS, TRIED, list_pairs
from remedies import DISK_GB, SetupError, explain
from running import say

ROOT = Path(__file__).resolve().parents[2]
STACKS = ('onedl', 'openmmlab')
# Settings that would make pip install outside of the environment.
PIP_PLACES = ('PIP_PREFIX', 'PIP_ROOT', 'PIP_TARGET', 'PIP_USER')
BEAT = 30  # seconds between two progress messages

LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB


def read_progress(log):
    """Returns ninja's last '[12/104]' in a log, or an empty string."""
    counts = re.findall(r'^\s*\[(\d+/\d+)\]', log, re.MULTILINE)
    return f', {counts[-1]} files compiled' if counts else ''


def list_folders(place):
    """Returns a folder and those below it that have wheels, or a URL as is."""
    if not place or '://' in place:
        return [place] if place else []
    inner = {str(wheel.parent) for wheel in Path(place).rglob('*.whl')}
    return sorted({place, *inner})


class Environment:
    """A virtual environment with one stack.

    Args:
        path (Path): Its folder.
        stack (str): 'onedl' or 'openmmlab'.
        find_links (str): A folder or page with prebuilt wheels, or ''.
        keep_python (bool): Whether the environment is made with the Python
            that runs the set-up, even if another has a wheel of mmcv.
    """

    def __init__(self, path, stack, find_links='', keep_python=False):
        self.path = path.resolve()
        self.stack = stack
        self.find_links = find_links
        self.keep_python = keep_python
        self.python = self.path / 'bin' / 'python'
        self.tmp = self.path / 'tmp'
        self.logs = self.path / 'logs'
        self.owner = self.path / 'stack.txt'
        self.stamp = self.path / 'ready.txt'
        self.chosen = self.path / 'torch.txt'
        names = (self.read_choice(), stack, 'tests')
        self.requirements = [REQUIREMENTS / f'{name}.txt' for name in names]
        self.mmcv = MmcvOps(self)
        drop = {'PYTHONPATH', 'PYTHONHOME', *PIP_PLACES}
        self.environ = {k: v for k, v in os.environ.items() if k not in drop}
        self.environ.update(
            PATH=f'{self.python.parent}{os.pathsep}{os.environ["PATH"]}',
            PIP_DISABLE_PIP_VERSION_CHECK='1',
            PIP_NO_INPUT='1',
            PYTHONNOUSERSITE='1',
            TMPDIR=str(self.tmp),
        )

    def read_choice(self):
        """Returns which file of requirements pins the torch."""
        names = [pair.pins for pair in PAIRS[self.stack]]
        name = self.chosen.read_text() if self.chosen.exists() else ''
        return name if name in names else 'torch'

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

        def tell():
            minutes, seconds = divmod(int(time.time() - start), 60)
            done = read_progress(file.read_text(errors='replace'))
            say(f'   ... {minutes} min {seconds:02d} s{done}')

        with file.open('w') as output:
            code = running.run(
                [str(part) for part in command],
                BEAT,
                tell,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environ, **environ},
                cwd=ROOT,
                pass_fds=[self.lock_file.fileno()],
            )
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
            for place in list_folders(self.find_links):
                command += ['--find-links', place]
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
            check_disk(self.path)
            interpreter = self.choose()
            for name in ('bin', 'include', 'lib', 'lib64', 'pyvenv.cfg'):
                place = self.path / name
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                else:
                    place.unlink(missing_ok=True)
            if not self.run(
                [interpreter, '-m', 'venv', self.path], 'venv', hint=False
            ):
                raise SetupError(
                    f'`{interpreter} -m venv` failed: install the module '
                    '(Debian, Ubuntu: `apt-get install python3-venv`) and '
                    f'run it again, or see {self.logs / "venv.log"}.'
                )
        self.drop_leftovers()
        tools = ('pip>=24', 'setuptools>=70,<81', 'wheel', 'ninja')
        self.pip('install', *tools, log='tools')
        # Report a missing compiler before a long download.
        wheels = list(self.path.glob('wheels/*/*.whl'))
        if not (wheels or self.mmcv.find_offer(self.read_pair())):
            check_compiler(self.ask(INCLUDE))

    def read_pair(self):
        """Returns the pair of Python and torch of the environment."""
        code = 'import sys; print(*sys.version_info[:2])'
        python = tuple(map(int, self.ask(code).split()))
        pins = self.requirements[0].stem
        pairs = list_pairs(self.stack, python)
        fit = (pair for pair in pairs if pair[:2] == (python, pins))
        return next(fit, pairs[0])

    def choose(self):
        """Chooses a Python and a torch; returns the path of the former."""
        own = sys.version_info[:2]
        for pair in list_pairs(self.stack, own):
            other = self.keep_python and pair.python != own
            if other or pair.python not in PYTHONS:
                continue
            interpreter = find_python(pair.python)
            if interpreter and (place := self.mmcv.find_offer(pair)):
                why = f'{place} has a wheel of {self.mmcv.pin} for it'
                break
        else:
            check_python(sys.version_info)
            pair, interpreter = list_pairs(self.stack, own)[0], sys.executable
            why = f'no wheel of {self.mmcv.pin} was found for any pair at hand'
        if pair != TRIED:
            why += f' (all is tried with {TRIED})'
        say(f'   {pair}, {pair.standing}: {why}')
        self.chosen.write_text(pair.pins)
        self.requirements[0] = REQUIREMENTS / f'{pair.pins}.txt'
        return interpreter

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

    def get_mmcv(self):
        """Step 3: a wheel of mmcv with ops."""
        say(f'   {self.mmcv.get().name}')

    def install_stack(self):
        """Step 4: the stack, what the tests need, and the plugin."""
        self.pip(
            'install',
            '--no-build-isolation',
            self.mmcv.find(),
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
            wheel = self.mmcv.find()
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
    parser.add_argument(
        '--keep-python',
        action='store_true',
        help='use the Python that runs this, even if mmcv has a wheel for '
        'another one only',
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
    running.STOPPER.install()
    try:
        Environment(
            args.venv, args.stack, args.find_links, args.keep_python
        ).set_up()
    except SetupError as error:
        sys.exit(f'ERROR: {error}')
    except running.Interrupted as error:
        # The terminal may be gone.
        with contextlib.suppress(OSError):
            say('Interrupted: run it again to go on from here.')
        os._exit(128 + error.number)


if __name__ == '__main__':
    main()
