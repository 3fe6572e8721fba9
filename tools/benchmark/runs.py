"""Runs to measure: only their time and memory matter, not their weights."""

import argparse
import contextlib
import copy
import json
import signal
import tempfile
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import load_config
from mmkd_plugin.model_config import model_of
from mmkd_plugin.teachers.teacher import load_config as load_teacher_config


def build_parser(description):
    """A parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--threads', type=int, help="torch's own by default")
    parser.add_argument('--json', type=Path, help='write the figures there')
    return parser


@contextlib.contextmanager
def work_folder(threads):
    """A temporary folder for runs; restores the process's settings."""
    MMLogger.get_instance('benchmark', log_level='WARNING')
    if threads:
        torch.set_num_threads(threads)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    finally:
        # ExactResumeHook handles it, and never learns that training ended.
        signal.signal(signal.SIGTERM, handler)


@explain_errors()
def run_benchmark(args, measure, report):
    """Measure in a temporary folder, and print the result.

    Args:
        args (argparse.Namespace): Options of :func:`build_parser` and others.
        measure (callable): Called with these options and the folder; returns
            a dict of numbers.
        report (callable): Prints that dict.
    """
    with work_folder(args.threads) as folder:
        found = measure(args, folder)
    report(found)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + '\n')


def training_config(args, folder, change=None):
    """Config of a run with a teacher and without validation.

    A teacher whose checkpoint is missing gets random weights.

    Args:
        args (argparse.Namespace): ``config`` and ``cfg_options``.
        folder (Path): Where to write files.
        change (callable, optional): Changes the model configs of student
            and teacher; the weights are then random too.

    Returns:
        tuple[Config, ConfigDict]: The config, and within it the config of
        its distillation hook.

    Raises:
        SystemExit: Unless it has one distillation hook with one teacher.
    """
    args.launcher, args.local_rank, args.work_dir = 'none', 0, str(folder)
    cfg = load_config(args)
    init_default_scope(cfg.default_scope)
    for split in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{split}_{key}'] = None
    hooks = [hook for hook in cfg.get('custom_hooks', []) if 'teacher' in hook]
    if len(hooks) != 1 or not isinstance(hooks[0].teacher, dict):
        raise SystemExit(
            f'error: expected {args.config} to have one distillation hook '
            'with one teacher: give the config of such a run.'
        )
    hook = hooks[0]
    # The terms count from the first step.
    hook.update(
        warmup=0, begin=0, end=None, evaluate_teacher=False, min_metric=None
    )
    teacher_cfg = load_teacher_config(hook.teacher.config)
    for model in (cfg.model, teacher_cfg.model):
        drop_pretrained(model)
        if change is not None:
            change(model)
    if change is not None or not Path(hook.teacher.checkpoint).is_file():
        model = build(teacher_cfg)
        calibrate(model)
        hook.teacher.checkpoint = str(folder / 'teacher.pth')
        torch.save(
            dict(state_dict=model.state_dict()), hook.teacher.checkpoint
        )
    hook.teacher.config = teacher_cfg.to_dict()
    cfg.train_cfg = dict(type='SteppedLoop', max_epochs=1000)
    cfg.log_level = 'ERROR'
    return cfg, hook


def student_alone(cfg):
    """A copy of a config, without its teacher."""
    cfg = copy.deepcopy(cfg)
    cfg.custom_hooks = [h for h in cfg.custom_hooks if 'teacher' not in h]
    return cfg


def drop_pretrained(cfg):
    """Let a model start from random weights instead of a download."""
    if isinstance(cfg, dict):
        if (cfg.get('init_cfg') or {}).get('type') == 'Pretrained':
            cfg.init_cfg = None
        for value in cfg.values():
            drop_pretrained(value)


def build(cfg):
    """The model of a config, with random weights."""
    model = model_of(cfg)
    model.init_weights()
    return model


@torch.no_grad()
def calibrate(model):
    """Estimate the statistics of batch normalisation on noise."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()
            module.momentum = None
    model.extract_feat(torch.randn(2, 3, 64, 64))
    model.eval()


def start(cfg, name, *hooks):
    """A runner that is ready for its first step.

    Args:
        cfg (Config): The config; not changed.
        name (str): Name of the run, unique in the work directory.
        *hooks (Hook): Hooks to add to those of the config.
    """
    cfg = copy.deepcopy(cfg)
    # By its name MMEngine would find the visualizer, and the folder, of
    # another runner of this process.
    cfg.experiment_name = f'{Path(cfg.work_dir).name}-{name}'
    cfg.work_dir = str(Path(cfg.work_dir, name))
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    runner.train_loop.begin()
    return runner
