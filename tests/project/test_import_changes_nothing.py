"""What `import mmkd_plugin` leaves as it was: everything but registries."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, sys, threading, warnings
import mmengine, numpy, torch, torch.utils.data
import mmengine.fileio, mmengine.hooks, mmengine.model, mmengine.runner
import mmengine.evaluator, mmengine.optim, mmengine.visualization
import mmengine.registry as registry
from mmengine.fileio.backends import registry_utils
from mmengine.fileio import io
from mmengine.runner import CheckpointLoader, checkpoint
# These set variables of the environment, whoever needs them first.
import cv2
torch.compiler.disable(lambda: None)

MODULES = [
    name for name in sys.modules
    if name.split('.')[0] in ('mmengine', 'torch', 'pickle', 'os', 'signal',
                              'warnings', 'builtins', 'zipfile', 'numpy',
                              'multiprocessing', 'logging', 'copyreg')
    # torch's own lazy parts, which grow when they are looked at
    and not name.startswith(('torch.ops', 'torch.classes', 'torch._dynamo'))
]

def functions():
    found = {}
    for name in MODULES:
        for key, value in list(vars(sys.modules[name]).items()):
            if callable(value):
                found[name, key] = value
            if isinstance(value, type) and value.__module__ == name:
                for inner, method in list(vars(value).items()):
                    if callable(method):
                        found[name, key, inner] = method
    return found

def state():
    return dict(
        schemes=dict(CheckpointLoader._schemes),
        order=list(CheckpointLoader._schemes),
        identity=id(CheckpointLoader._schemes),
        backends=dict(registry_utils.backends),
        prefixes=dict(registry_utils.prefix_to_backends),
        instances=dict(io.backend_instances),
        signals={n: signal.getsignal(n) for n in signal.valid_signals()},
        filters=list(warnings.filters),
        showwarning=warnings.showwarning,
        environ=dict(os.environ),
        excepthook=(sys.excepthook, threading.excepthook),
        hooks=(list(sys.meta_path), list(sys.path_hooks), list(sys.path)),
        threads=torch.get_num_threads(),
        grad=torch.is_grad_enabled(),
        dtype=torch.get_default_dtype(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        cudnn=(torch.backends.cudnn.benchmark,
               torch.backends.cudnn.deterministic),
        matmul=torch.get_float32_matmul_precision(),
        safe_globals=list(torch.serialization.get_safe_globals())
        if hasattr(torch.serialization, 'get_safe_globals') else [],
        random=torch.random.get_rng_state().tolist(),
        running=[thread.name for thread in threading.enumerate()],
        cwd=os.getcwd(),
        umask=(os.umask(0o022), os.umask(0o022))[1],
    )

def registries():
    return {
        name: dict(value.module_dict) for name, value in vars(registry).items()
        if isinstance(value, registry.Registry)
    }

before = state(), functions(), registries()
import mmkd_plugin
after = state(), functions(), registries()

for key, value in before[0].items():
    assert after[0][key] == value, key
assert before[1].keys() == after[1].keys(), (
    before[1].keys() ^ after[1].keys())
changed = [key for key in before[1] if before[1][key] is not after[1][key]]
assert not changed, changed
assert before[2].keys() == after[2].keys()
new = 0
for name, entries in before[2].items():
    for key, value in entries.items():
        assert after[2][name][key] is value, (name, key)
    for key in after[2][name].keys() - entries.keys():
        assert after[2][name][key].__module__.startswith('mmkd_plugin.'), key
        new += 1
print('compared', len(before[1]), 'and found', new, 'new')
"""


def test_import_registers_names_and_changes_nothing_else(tmp_path):
    found = subprocess.run(
        [sys.executable, '-c', PROGRAM],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(PYTHONPATH=str(ROOT), PATH='/usr/bin:/bin'),
    )
    assert found.returncode == 0, found.stderr[-3000:]
    words = found.stdout.split()
    assert words[0] == 'compared'
    assert int(words[1]) > 10_000
    assert int(words[4]) > 20
    assert not list(tmp_path.iterdir())
