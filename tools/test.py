#!/usr/bin/env python
"""Evaluate a trained model; a teacher in the config is never built."""

from pathlib import Path

from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from mmkd_plugin.launch import (
    build_parser,
    explain_missing_files,
    load_config,
)


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('checkpoint', help='path or URL of the weights')
    parser.add_argument(
        '--out',
        metavar='FILE.pkl',
        help='also write the predictions to this pickle file',
    )
    return parser.parse_args()


def main():
    args = parse_args()
    cfg = load_config(args)

    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise SystemExit(
            f'The checkpoint {args.checkpoint!r} was not found: '
            'give the path or URL of trained weights.'
        )
    cfg.load_from = args.checkpoint

    with explain_missing_files():
        runner = Runner.from_cfg(cfg)
        if args.out:
            runner.test_evaluator.metrics.append(DumpResults(args.out))
        runner.test()


if __name__ == '__main__':
    main()
