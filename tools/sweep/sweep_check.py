"""Whether the runs of a plan would train, found out before the first does.

Each run is examined as tools/analysis_tools/inspect_config.py does: student
and teachers are built and connected and see noise. This happens in processes
of their own, which leave nothing in the memory of a GPU.
"""

import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from math import inf
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from metric_choice import check_metric
from sweep_plan import PlanError, parse

from mmkd_plugin.cli.errors import explain
from mmkd_plugin.cli.launch import check_start, load_config
from mmkd_plugin.resume.last_checkpoint import last_named

INSPECT = Path(__file__).parents[1] / 'analysis_tools'
NEEDED = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def check_jobs(jobs, slots, signals):
    """Find out whether trainings would run; print a line for each run.

    Args:
        jobs (list[Job]): Those to do.
        slots (list[str | None]): The GPU of each process, as trainings get
            them.
        signals (list[int]): Signals that end it early, as they come.

    Raises:
        PlanError: If one would not, with everything that is wrong.
    """
    firsts, wrong = {}, []
    for job in jobs:
        firsts.setdefault(job.run.name, job)
    print(f'Checking {len(firsts)} runs on noise', flush=True)
    with ProcessPoolExecutor(
        min(len(slots), len(firsts)), get_context('spawn'), _enter, slots[:1]
    ) as pool:
        found = {
            name: pool.submit(examine, job.plan, job.run, job.out)
            for name, job in firsts.items()
        }
        for name, future in found.items():
            while not future.done() and not signals:
                wait([future], 0.1)
            if signals:
                # They would first finish what they are at.
                for child in active_children():
                    child.terminate()
                pool.shutdown(cancel_futures=True)
                return
            try:
                problems, told = future.result()
            except BrokenProcessPool:
                raise PlanError(
                    'A process that checked the runs was killed, as happens '
                    'when memory is short: free some, or take fewer --jobs.'
                ) from None
            print(f'  {name}: {" ".join(problems) or told}', flush=True)
            if problems:
                wrong.append(name)
    if wrong:
        raise PlanError(
            f'{len(wrong)} of {len(firsts)} runs would not train, so nothing '
            f'was started: correct what is said above of {", ".join(wrong)}, '
            'or leave them out.'
        )


def _enter(gpu):
    """Begin a process, which ends with its parent."""
    sys.path.append(str(INSPECT))
    if gpu is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = gpu
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def examine(plan, run, out):
    """Build a run, and give it noise.

    Args:
        plan (Plan): The plan.
        run (Run): One of its runs.
        out (Path): The folder of the sweep.

    Returns:
        tuple[list[str], str]: What would stop it, and how its terms pull.
    """
    quiet = StringIO()
    with (
        TemporaryDirectory() as folder,
        redirect_stdout(quiet),
        redirect_stderr(quiet),
    ):
        problems = []
        try:
            told = _examine(plan, run, out, folder, problems)
        except SystemExit as error:
            problems.append(str(error).removeprefix('error: '))
        except Exception as error:
            sentence = explain(error) or f'{type(error).__name__}: {error}'
            problems.append(sentence)
        return problems, '' if problems else told


def _examine(plan, run, out, folder, problems):
    from inspect_config import inspect
    from random_images import find_size

    from mmkd_plugin.checkpoints.unpickling import safe_loading

    with safe_loading(False):
        checkpoints = {
            name: _checkpoint(plan, plan.runs[name], out, folder)
            for name in run.needs
        }
        cfg = load_config(parse(run.config, run.arguments(checkpoints)))
        cfg.work_dir = folder
        check_start(cfg, *NEEDED)
        try:
            check_metric(cfg, plan.metric)
        except PlanError as error:
            problems.append(str(error))
        hooks = cfg.get('custom_hooks') or []
        # Real images where nothing tells the size of noise.
        real = find_size(cfg.train_dataloader.dataset) is None
        args = SimpleNamespace(data=real, size=None, modules=False)
        found = inspect(cfg, args, folder)
    problems += found.problems
    distils = any('teacher' in hook for hook in hooks)
    pulling = any(pull.own for pull in found.pulls.values())
    if distils and not problems and not pulling:
        problems.append(
            'No term of its hook gives the student a gradient: correct the '
            'hook.'
        )
    return ''.join(['fits', *_pulls(found), *_warmups(cfg, found)])


def _pulls(found):
    """How strongly each term pulls, in a few words."""
    for name, pull in found.pulls.items():
        if pull.ratio is not None:
            yield f', {name} pulls {pull.ratio:.2g} times {pull.what}'


def _warmups(cfg, found):
    """Warm-ups in iterations that do not end within the training."""
    parts = cfg.get('param_scheduler') or []
    for part in [parts] if 'type' in parts else parts:
        end = part.get('end', 0)
        if not part.get('by_epoch', True) and found.iterations < end < inf:
            yield (
                f'; note that its {part["type"]} of {end} iterations is '
                f'longer than the training of {found.iterations}'
            )


def _checkpoint(plan, run, out, folder):
    """The last checkpoint of a run, or one of random weights like it.

    Args:
        plan (Plan): The plan.
        run (Run): A run that another needs.
        out (Path): The folder of the sweep.
        folder (str): Where a stand-in is written.

    Returns:
        str: Path of the file.
    """
    made = last_named(run.folder(out, run.seeds[0]))
    if made is not None and Path(made).is_file():
        return str(made)
    import torch
    from mmengine.runner import Runner

    from mmkd_plugin.datasets.class_names import names_of

    names = {name: f'{{runs.{name}}}' for name in run.needs}
    cfg = load_config(parse(run.config, run.arguments(names)))
    cfg.work_dir, cfg.log_level, cfg.custom_hooks = folder, 'ERROR', []
    runner = Runner.from_cfg(cfg)
    classes = names_of(runner.train_dataloader.dataset)
    path = Path(folder, f'{run.name}.pth')
    meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
    content = dict(state_dict=runner.model.state_dict(), meta=meta)
    torch.save(content, path)
    return str(path)
