#!/usr/bin/env python
"""Write only the weights of a checkpoint, in half precision, and its classes.

The file is small, and loads with `torch.load(file, weights_only=True)`.
"""

import argparse

import torch

from mmkd_plugin.checkpoints.reading import split_checkpoint
from mmkd_plugin.checkpoints.unpickling import load_from_local, load_trusted
from mmkd_plugin.cli.errors import explain_errors


def shrink(source, target, trust=False):
    """Write `target`, a fraction of the size of `source`.

    Args:
        source (str | Path): A checkpoint of MMEngine's runner.
        target (str | Path): A file with `state_dict`, floats in float16, and
            `meta`, of plain Python types.
        trust (bool): Whether to run the code that `source` may hold.
    """
    read = load_trusted if trust else load_from_local
    weights, meta = split_checkpoint(read(source), str(source))
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
    }
    dataset = meta.get('dataset_meta')
    classes = dataset.get('classes') if isinstance(dataset, dict) else None
    if isinstance(classes, (list, tuple)):
        classes = tuple(map(str, classes))
    else:
        classes = None
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict=state), target)


@explain_errors()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('source')
    parser.add_argument('target')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run the code that the checkpoint may hold, where it is refused '
        'otherwise; only for files whose origin you know',
    )
    args = parser.parse_args()
    shrink(args.source, args.target, args.trust_checkpoint)


if __name__ == '__main__':
    main()
