"""Gets a wheel of mmcv with its ops: a prebuilt one, or compiles it."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile

import mmcv_wheel
from machine import check_compiler, count_jobs, find_nvcc, has_gpu
from mmcv_wheel import NoWheel, Want
from remedies import SetupError
from running import say

BUILD_MINUTES = 20  # of one core, for mmcv's CPU ops
INCLUDE = "import sysconfig; print(sysconfig.get_path('include'))"


class MmcvOps:
    """The wheel for an environment.

    Args:
        env (Environment): It, with torch for all but ``find_offer``.
    """

    def __init__(self, env):
        self.env = env
        pins = env.requirements[1].read_text().split()
        self.pin = next(pin for pin in pins if 'mmcv' in pin)
        # An extension fits only the torch that it was compiled against.
        self.folder = None

    def list_places(self, want):
        """Returns where a wheel is looked for, in this order."""
        of_pip = os.environ.get('PIP_FIND_LINKS', '').split()
        mine = [self.env.find_links] if self.env.find_links else []
        return [*mine, *of_pip, mmcv_wheel.find_page(self.env.stack, want)]

    def find_offer(self, pair):
        """Returns the first place with a wheel for a pair, or None."""
        device = 'cu' + pair.cuda.replace('.', '') if has_gpu() else 'cpu'
        want = Want(self.pin, pair.python, pair.torch, device)
        for place in self.list_places(want):
            with contextlib.suppress(NoWheel):
                mmcv_wheel.find_links(place, want)
                return place
        return None

    def get(self):
        """Returns the path of the wheel, from an earlier set-up or new.

        Raises:
            SetupError: If torch does not load, or the build fails.
        """
        answer = self.env.ask(
            'import sys, torch\n'
            'print(torch.__version__, *sys.version_info[:2],\n'
            '      torch.version.cuda, torch.cuda.is_available())'
        )
        if answer is None:
            raise SetupError(
                'torch is installed but does not load: remove '
                f'{self.env.path} and run it again.'
            )
        torch, major, minor, cuda, available = answer.split()
        # As FORCE_CUDA says, which mmcv's own build heeds too.
        force = os.environ.get('FORCE_CUDA', str(int(available == 'True')))
        # CUDA's version, or None where the ops are for the CPU.
        cuda = cuda if force == '1' and cuda != 'None' else None
        want = Want(
            pin=self.pin,
            python=(int(major), int(minor)),
            torch=torch.partition('+')[0],
            device='cu' + cuda.replace('.', '') if cuda else 'cpu',
        )
        self.folder = self.env.path / 'wheels' / f'torch-{torch}'
        if not (self.find() or self.fetch(want)):
            self.build(cuda)
        return self.find()

    def find(self):
        """Returns the wheel in the environment's folder, or None."""
        for wheel in self.folder.glob('*.whl'):
            if zipfile.is_zipfile(wheel):
                return wheel
            wheel.unlink()  # cut off while pip wrote it
        return None

    def fetch(self, want):
        """Takes the first wheel that loads; says why if there is none."""
        reasons = []
        for place in self.list_places(want):
            try:
                links = mmcv_wheel.find_links(place, want)
            except NoWheel as reason:
                links = []
                reasons.append(f'{place} {reason}')
            for link in links:
                try:
                    self.take(link)
                    return True
                except NoWheel as reason:
                    reasons.append(f'{link} {reason}')
        say(f'   no wheel of {want}: {"; ".join(reasons)}')
        return False

    def take(self, link):
        """Downloads a wheel and tries its ops.

        Raises:
            NoWheel: If that fails.
        """
        options = ('--no-deps', '--no-cache-dir', '--retries=1', '--dest')
        self.env.pip(
            'download',
            *options,
            self.folder,
            link,
            log='mmcv-fetch',
            hint=False,
        )
        wheel = self.find()
        if wheel is None:
            log = self.env.logs / 'mmcv-fetch.log'
            raise NoWheel(f'cannot be taken by pip (see {log})')
        ops = self.env.tmp / 'ops'
        shutil.rmtree(ops, ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(ops)
        # The ops alone: what mmcv imports beside them is not there yet.
        code = (
            'import sys, torch\n'
            f'sys.path.insert(0, {str(ops / "mmcv")!r})\n'
            'import _ext'
        )
        if not self.env.run(
            [self.env.python, '-c', code], 'mmcv-ops', hint=False
        ):
            wheel.unlink()
            log = (self.env.logs / 'mmcv-ops.log').read_text()
            reason = log.splitlines()[-1]
            raise NoWheel(f'has ops that do not load ("{reason}")')

    def build(self, cuda):
        """Compiles mmcv with its ops against the installed torch.

        Args:
            cuda (str | None): The CUDA version of torch where there is a GPU.
        """
        check_compiler(self.env.ask(INCLUDE))
        jobs = count_jobs()
        environ = {
            'MMCV_WITH_OPS': '1',
            'CFLAGS': os.environ.get('CFLAGS', '-O2 -g0 -DNDEBUG -w'),
            'MAX_JOBS': str(jobs),
        }
        fits = cuda is not None and find_nvcc(cuda) is not None
        environ['FORCE_CUDA'] = os.environ.get('FORCE_CUDA', str(int(fits)))
        if environ['FORCE_CUDA'] == '1':
            kind = 'CPU and CUDA ops, several times as long as CPU ops alone'
        else:
            minutes = max(1, round(BUILD_MINUTES / jobs))
            kind = f'CPU ops, about {minutes} min with {jobs} jobs'
            environ['CUDA_VISIBLE_DEVICES'] = ''
            if cuda is not None and not fits:
                say(
                    f'   There is a GPU but no nvcc of CUDA {cuda}: mmcv gets '
                    'CPU ops only. To train on the GPU, install that CUDA '
                    f'toolkit, set CUDA_HOME, remove {self.env.path} and run '
                    'it again; until then, run with CUDA_VISIBLE_DEVICES= set.'
                )
        say(f'   compiling {self.pin} ({kind}), once')
        # Never from pip's cache, whose wheel may be of another torch.
        self.env.pip(
            'wheel',
            '-v',
            '--no-cache-dir',
            '--no-deps',
            '--no-build-isolation',
            '--wheel-dir',
            self.folder,
            self.pin,
            log='mmcv-build',
            **environ,
        )
