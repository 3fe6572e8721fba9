#!/usr/bin/env python
"""Train a model, with a teacher if its config has a distillation hook."""

from mmkd_plugin import ExactResumeHook
from mmkd_plugin.arguments import check_path
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.quiet_runner import build_runner, reading_data
from mmkd_plugin.cli.run_summary import summarize
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.engine.process_group import leave_group
from mmkd_plugin.exceptions import MMKDValueError
from mmkd_plugin.hooks import StartCheckHook


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the last one in the work '
        'directory if none is given',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    with safe_loading(args.trust_checkpoint):
        train(args)
    leave_group()


def train(args):
    """Train as the options say."""
    cfg = load_config(args)

    if args.resume is not None:
        check_path('--resume', args.resume)
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume

    check_start(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')

    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')

    if args.auto_scale_lr:
        scale = cfg.get('auto_scale_lr')
        if not isinstance(scale, dict) or 'base_batch_size' not in scale:
            raise MMKDValueError(
                '--auto-scale-lr needs `base_batch_size` of `auto_scale_lr` '
                'in the config: the batch size that its learning rate is for.'
            )
        scale.enable = True

    runner = build_runner(cfg)
    # Not through the config: a list in a config replaces that of its base.
    for kind in (ExactResumeHook, StartCheckHook):
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    with reading_data(runner):
        check_data(runner, 'train', 'val')
    runner.logger.info(summarize(runner))
    runner.train()


if __name__ == '__main__':
    main()
