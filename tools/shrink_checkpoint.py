#!/usr/bin/env python
"""Write a checkpoint's weights in half precision, and nothing else but its
classes, so that it is small and loads with `weights_only=True`."""

import argparse

import torch

from mmkd_plugin.errors import explain_errors
from mmkd_plugin.unpickling import load_from_local


def shrink(source, target):
    """Write `target`, a fraction of the size of `source`.

    Args:
        source (str | Path): A checkpoint of MMEngine's runner.
        target (str | Path): A file with `state_dict`, floats in float16, and
            `meta`, of plain Python types.
    """
    checkpoint = load_from_local(source)
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in checkpoint['state_dict'].items()
    }
    classes = checkpoint.get('meta', {}).get('dataset_meta', {}).get('classes')
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict=state), target)


@explain_errors()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source')
    parser.add_argument('target')
    args = parser.parse_args()
    shrink(args.source, args.target)


if __name__ == '__main__':
    main()
