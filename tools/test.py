#!/usr/bin/env python
"""Evaluate a trained model; a teacher in the config is never built."""

from pathlib import Path

from mmengine.evaluator import DumpResults
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.quiet_runner import build_runner, reading_data
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.engine.process_group import leave_group
from mmkd_plugin.exceptions import MMKDFileNotFoundError


class FitCheckHook(Hook):
    """Refuse weights of another model, which MMEngine loads partially."""

    # After EMAHook, which chooses between two sets of weights.
    priority = 'LOWEST'

    def after_load_checkpoint(self, runner, checkpoint):
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        state, _ = split_checkpoint(checkpoint, runner.cfg.load_from)
        state = {key.removeprefix('module.'): state[key] for key in state}
        load_strictly(model, state, runner.cfg.load_from, role='model')


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('checkpoint', help='path or URL of the weights')
    parser.add_argument(
        '--out',
        metavar='FILE.pkl',
        help='also write the predictions to this pickle file',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    with safe_loading(args.trust_checkpoint):
        test(args)
    leave_group()


def test(args):
    """Evaluate as the options say."""
    cfg = load_config(args)

    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise MMKDFileNotFoundError(
            f'The checkpoint {args.checkpoint!r} was not found: '
            'give the path or URL of trained weights.'
        )
    cfg.load_from = args.checkpoint

    check_start(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    runner = build_runner(cfg)
    runner.register_hook(FitCheckHook())
    with reading_data(runner):
        check_data(runner, 'test')
    if args.out:
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    runner.test()


if __name__ == '__main__':
    main()
