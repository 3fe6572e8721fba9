"""Let every hostile file knock at the functions that read files.

python -m tests.helpers.hostile.door [--every N] [-v]
"""

import argparse
import collections
import sys
import tempfile
import warnings

import torch
from mmengine.runner import CheckpointLoader

from mmkd_plugin.checkpoints.reading import read_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain
from tests.helpers.hostile.files import write_all
from tests.helpers.hostile.judge import attempt, table, watched

BASE = dict(
    meta=dict(epoch=1, iter=2, seed=3, dataset_meta={}),
    state_dict=collections.OrderedDict({'a.weight': torch.ones(2)}),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    optimizer=dict(state={}, param_groups=[]),
    param_schedulers=[],
)


def read_by_all(path):
    """What a teacher's and MMEngine's checkpoints are read by."""
    sentence = None
    with safe_loading():
        for read in (
            read_checkpoint,
            lambda path: CheckpointLoader.load_checkpoint(path, 'cpu'),
        ):
            try:
                read(str(path))
            except Exception as error:
                sentence = explain(error)
                if sentence is None:
                    raise
    if sentence:
        raise SystemExit(f'error: {sentence}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--every', type=int, default=1)
    parser.add_argument('-v', action='store_true')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        world = write_all(folder, BASE)
        for kind, path in world.found[:: args.every]:
            faults, said = attempt(watched(read_by_all), path, world)
            results.append(('door', kind, path, faults, said))
            if faults or args.v:
                print(path.name, kind, sorted(faults), said[-160:])
    print(table(results))
    return any(faults for *_, faults, _ in results)


if __name__ == '__main__':
    sys.exit(main())
