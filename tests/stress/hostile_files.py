#!/usr/bin/env python
"""Give every hostile file to every command that reads checkpoints.

    python tests/stress/hostile_files.py [--every N] [--names NAME ...]

Prints a table of counts: what a file made a command do. All are to be 0.
"""

import argparse
import os
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

import torch  # noqa: E402

from tests.helpers import tiny, tiny_cls  # noqa: E402
from tests.helpers.hostile.files import write_all  # noqa: E402
from tests.helpers.hostile.judge import attempt, table, watched  # noqa: E402
from tests.helpers.tool_runs import write_config  # noqa: E402

VAL = dict(
    val_dataloader=dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='Pictures', length=2),
    ),
    val_cfg=dict(),
    val_evaluator=dict(type='Accuracy'),
)


def tool(name, *args):
    """Run a command as a user does."""
    sys.argv = [f'tools/{name}.py', *map(str, args)]
    runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')


def make_entries(folder):
    """Every command that reads a checkpoint, as a function of its path.

    Args:
        folder (Path): For the configs.

    Returns:
        dict[str, Callable]: By name.
    """
    test = {f'test_{key[4:]}': VAL[key] for key in VAL}
    names = ('plain', 'taught', 'first', 'detector')
    for name in names:
        (folder / name).mkdir()
    changes = dict(
        VAL, **test, param_scheduler=[dict(type='StepLR', step_size=1)]
    )
    plain = write_config(folder / 'plain', [], True, **changes)
    teacher = dict(
        config=dict(
            default_scope='mmpretrain', model=tiny_cls.classifier_cfg()
        ),
        checkpoint='FILE',
    )
    losses = dict(loss_kd=dict(type='KDLoss', tau=1.0))
    hook = dict(type='DistillHook', teacher=teacher, losses=losses)
    taught = write_config(folder / 'taught', [hook], True, **changes)
    hook['teacher'] = tiny_cls.save_teacher(folder / 'teacher.pth')
    rows = write_config(folder / 'first', [hook], True, **changes)
    boxes = tiny.save_teacher(folder / 'boxes.pth')
    hook = dict(hook, teacher=boxes)
    detector = write_config(folder / 'detector', [hook], **{
        'val_dataloader': dict(VAL['val_dataloader'],
                               dataset=dict(type='Boxes', length=2)),
        'val_cfg': {}, 'val_evaluator': dict(type='CocoMetric'),
    })  # fmt: skip
    work = ('--work-dir', 'work')
    to = '--cfg-options'
    return {
        'teacher.checkpoint': lambda path: tool(
            'train', taught, *work, to,
            f'custom_hooks.0.teacher.checkpoint={path}'),
        'load_from': lambda path: tool(
            'train', plain, *work, to, f'load_from={path}'),
        'init_cfg': lambda path: tool(
            'train', plain, *work, to,
            'model.backbone.init_cfg.type=Pretrained',
            f'model.backbone.init_cfg.checkpoint={path}'),
        'resume': lambda path: tool('train', plain, *work, '--resume', path),
        'test.py': lambda path: tool('test', plain, path, *work),
        'publish': lambda path: tool('publish_student', path, 'out'),
        'export': lambda path: tool('export_onnx', plain, path, *work),
        'analyze': lambda path: tool(
            'analyze_teacher', rows, '--student', path, '--batches', 1,
            *work),
        'visualize': lambda path: tool(
            'visualize', detector, '--student', path, '--distilled', path,
            *work),
        'convert': lambda path: tool(
            'convert_cifar_teachers', path, '--models', 'resnet20', '--out',
            'out'),
        'shrink': lambda path: tool('shrink_checkpoint', path, 'small.pth'),
    }  # fmt: skip


def make_base(folder, entries):
    """A checkpoint in the middle of the run that is to be resumed."""
    first = folder / 'first.pth'
    torch.save(tiny_cls.build_classifier().state_dict(), first)
    child = os.fork()
    if child == 0:
        with open(folder / 'log', 'w') as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.chdir(folder)
        entries['load_from'](first)
        os._exit(0)
    os.waitpid(child, 0)
    return torch.load(folder / 'work' / 'epoch_1.pth', weights_only=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--every', type=int, default=1, help='of the files')
    parser.add_argument('--names', nargs='+', help='of files to try')
    parser.add_argument('--entries', nargs='+', help='commands to try')
    parser.add_argument('-v', action='store_true', help='print every attempt')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    tiny.build_detector()
    tiny_cls.build_classifier()
    results = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, 'world')
        folder.mkdir()
        (folder / 'configs').mkdir()
        entries = make_entries(folder / 'configs')
        base = make_base(folder / 'configs', entries)
        world = write_all(folder, base)
        files = world.found[:: args.every]
        if args.names:
            files = [
                (kind, path)
                for kind, path in world.found
                if path.stem[4:] in args.names
            ]
        for entry in args.entries or entries:
            for kind, path in files:
                faults, said = attempt(
                    watched(entries[entry], whole=False), path, world
                )
                results.append((entry, kind, path, faults, said))
                if faults or args.v:
                    print(entry, path.name, kind, sorted(faults), said[-200:])
                    sys.stdout.flush()
    print(table(results))
    return any(faults for *_, faults, _ in results)


if __name__ == '__main__':
    sys.exit(main())
