"""Try a hostile file in a process of its own, and see what it did."""

import argparse
import builtins
import gc
import os
import random
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch
import torch._utils
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import CheckpointLoader

from mmkd_plugin.cli.errors import explain

ALLOWED = 256 << 20
FAULTS = (
    'code run',
    'process changed',
    'files written',
    'hung',
    'memory',
    'tracebacks',
)


def process(whole=True):
    """What a file may not change, as something to compare.

    Args:
        whole (bool): With what a command changes itself.
    """
    owners = (
        builtins, torch._utils, torch.serialization, np, os, HistoryBuffer,
        ConfigDict, Config, argparse.Namespace, torch.Tensor,
        torch.nn.Parameter, CheckpointLoader,
    )  # fmt: skip
    functions = [
        value
        for value in vars(torch._utils).values()
        if callable(value) and hasattr(value, '__code__')
    ]
    lasting = [
        [
            sorted((key, id(value)) for key, value in vars(owner).items())
            for owner in owners
        ],
        [
            (f.__defaults__, f.__kwdefaults__, id(f.__code__), str(f.__dict__))
            for f in functions
        ],
        sys.getrecursionlimit(),
        gc.isenabled(),
        torch.get_default_dtype(),
        'antigravity' in sys.modules,
    ]
    if not whole:
        return lasting
    return [
        lasting,
        [sorted(registry.module_dict) for registry in (HOOKS, MODELS)],
        list(CheckpointLoader._schemes.items()),
        [signal.getsignal(n) for n in (2, 14, 15)],
        dict(os.environ),
        os.getcwd(),
        torch.get_num_threads(),
        torch.initial_seed(),
        random.getstate()[1][:5],
        np.geterr(),
    ]


def watched(read, whole=True):
    """Say so when the process is another one after an entry than before."""

    def start(path):
        before = process(whole)
        try:
            read(path)
        finally:
            if process(whole) != before:
                print('PROCESS CHANGED', flush=True)

    return start


def listing(folder):
    """Names of all that is in a folder, but for the work directories."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != 'work']
        found += [os.path.join(place, name) for name in (*folders, *files)]
    return sorted(found)


def attempt(start, path, world, seconds=30):
    """Let an entry read a file.

    Args:
        start (Callable): Given the path.
        path (Path): The file.
        world (World): What the file was written for.
        seconds (float): After which it hangs.

    Returns:
        tuple[set[str], str]: Faults, of `FAULTS`, and the last line said.
    """
    log = world.folder / 'work' / 'log'
    log.parent.mkdir(exist_ok=True)
    before = listing(world.folder)
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_child(start, path, log)
    status = None
    while time.monotonic() - begun < seconds:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.002)
    else:
        os.killpg(child, signal.SIGKILL)
        _, status, usage = os.wait4(child, 0)
        return {'hung'}, 'hung'
    said = log.read_text(errors='replace')
    code = os.waitstatus_to_exitcode(status)
    limit = 4 * os.stat(path).st_size + ALLOWED
    grown = 1024 * usage.ru_maxrss - _memory_at_start(said)
    faults = {
        'code run': os.path.exists(world.proof),
        'process changed': 'PROCESS CHANGED' in said,
        'files written': listing(world.folder) != before,
        'memory': grown > limit,
        'tracebacks': 'Traceback (most' in said or code not in (0, 1, 3),
    }
    Path(world.proof).unlink(missing_ok=True)
    lines = said.strip().splitlines()
    last = [line for line in lines if line.startswith('error:')] or lines
    return {name for name in faults if faults[name]}, last[-1][:300]


def _memory_at_start(said):
    first = said.splitlines()[:1]
    if first and first[0].startswith('memory '):
        return int(first[0].split()[1])
    return 0


def _be_the_child(start, path, log):
    try:
        os.setsid()
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, 'w'), os.fdopen(2, 'w')
        os.chdir(log.parent)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print('memory', 1024 * usage.ru_maxrss, flush=True)
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        start(path)
        code = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, flush=True)
        code = 1 if stop.code else 0
    except BaseException as error:
        sentence = explain(error) if isinstance(error, Exception) else None
        print(f'error: {sentence}' if sentence else traceback.format_exc())
        code = 1 if sentence else 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def table(results):
    """Lay out the counts as Markdown.

    Args:
        results (list[tuple]): Entry, kind, path, faults and what was said.
    """
    entries = list(dict.fromkeys(entry for entry, *_ in results))
    lines = [
        f'| entry | files | {" | ".join(FAULTS)} |',
        f'|:--|--:|{"--:|" * len(FAULTS)}',
    ]
    for entry in (*entries, 'all'):
        own = [r for r in results if entry in (r[0], 'all')]
        counts = (sum(fault in r[3] for r in own) for fault in FAULTS)
        lines.append(
            f'| {entry} | {len(own)} | {" | ".join(map(str, counts))} |'
        )
    return '\n'.join(lines)
