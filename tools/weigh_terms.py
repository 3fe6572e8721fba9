#!/usr/bin/env python
"""How strongly each distillation term pulls, beside the cross entropy.

Without training, runs student and teacher of a config over some batches and
takes, at several numbers of rows N (images or RoIs), the gradient that each
term and the cross entropy send to the student's logits. The pull of a loss is
the sum over rows of the length of that gradient: the mean over the rows is
part of the loss, so that it does not grow with N by itself. A term of pull 1
moves the logits as much as the cross entropy does.

    python tools/weigh_terms.py CONFIG --student STUDENT.pth

Pulls are those of this student. One without training, or at the end of it,
can have others: a weight is not right because its pull is 1.
"""

import math

import torch
from mmengine.runner import Runner
from torch.nn import functional as F

from mmkd_plugin import DistillHook
from mmkd_plugin.errors import explain_errors
from mmkd_plugin.launch import build_parser, check_start, load_config


def read_rows(runner, hook, batches):
    """What the losses are given in some batches of training.

    Args:
        runner (Runner): Of a config with a distillation hook.
        hook (DistillHook): The hook, before its training begins.
        batches (int): How many batches to take.

    Returns:
        tuple[Tensor, ...]: Logits of student and teacher, labels and weights
        of all rows together: (N, C), (N, C), (N,), (N,).
    """
    found = []
    first = next(iter(hook.losses.values()))
    handle = first.register_forward_pre_hook(
        lambda module, pair: found.append([x.detach() for x in pair])
    )
    hook.before_train(runner)
    model = runner.model.train()
    for index, batch in enumerate(runner.train_dataloader):
        if index == batches:
            break
        model(**model.data_preprocessor(batch, True), mode='loss')
    hook.after_train(runner)
    handle.remove()
    return tuple(torch.cat(parts).float().cpu() for parts in zip(*found))


def pull(loss, student, *others):
    """Value of a loss, and how strongly it pulls at the logits.

    Args:
        loss (Callable): Logits (N, C), and what else it takes, to a scalar.
        student (Tensor): The logits.
        others (Tensor): What else it takes.

    Returns:
        tuple[float, float]: The value; the sum over rows of the length of
        the gradient.
    """
    student = student.clone().requires_grad_()
    value = loss(student, *others)
    (grad,) = torch.autograd.grad(value, student)
    return value.item(), grad.norm(dim=1).sum().item()


def weigh(losses, rows, sizes):
    """Values and pulls of losses on random groups of rows.

    Args:
        losses (dict[str, Module]): The terms of a hook.
        rows (tuple[Tensor, ...]): As of :func:`read_rows`.
        sizes (list[int]): Numbers N of rows in a group.

    Returns:
        list[tuple]: For each size and loss: N, name, mean value, and the
        mean pull as a share of the cross entropy's.
    """
    total = len(rows[0])
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(total, generator=generator)
    table = []
    for size in sizes:
        groups = order[: total // size * size].view(-1, size)
        sums = {name: [0.0, 0.0] for name in losses}
        for group in groups:
            student, teacher, labels, weights = (x[group] for x in rows)
            labels = labels.long()
            _, task = pull(F.cross_entropy, student, labels)
            for name, loss in losses.items():
                value, own = pull(loss, student, teacher, labels, weights)
                sums[name][0] += value / len(groups)
                sums[name][1] += own / task / len(groups)
        table += [(size, name, *found) for name, found in sums.items()]
    return table


def make_table(table):
    """Lay out the result of :func:`weigh` as Markdown."""
    lines = [
        '|     N | ln N | term | value | pull / that of the cross entropy |',
        '|------:|-----:|:-----|------:|--------------------------------:|',
    ]
    lines += [
        f'| {size:5d} | {math.log(size):.2f} | {name} | {value:.4f} '
        f'| {share:.4f} |'
        for size, name, value, share in table
    ]
    return '\n'.join(lines)


def parse_args():
    parser = build_parser(__doc__.split('\n')[0])
    parser.add_argument(
        '--student', help='checkpoint of the student; random if left out'
    )
    parser.add_argument(
        '--batches', type=int, default=8, help='batches to look at'
    )
    parser.add_argument(
        '--rows',
        type=int,
        nargs='+',
        default=[64, 128, 256, 512, 1024, 2048],
        help='numbers of rows N to compare',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    cfg = load_config(args)
    check_start(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    cfg.load_from = args.student
    runner = Runner.from_cfg(cfg)
    hooks = [hook for hook in runner.hooks if isinstance(hook, DistillHook)]
    if len(hooks) != 1:
        raise ValueError(
            f'The config {args.config!r} has {len(hooks)} distillation hooks '
            'in `custom_hooks`, of which this command needs one: give a '
            'config with a teacher.'
        )
    runner.load_or_resume()
    rows = read_rows(runner, hooks[0], args.batches)
    sizes = [size for size in args.rows if size <= len(rows[0])]
    if not sizes:
        raise ValueError(
            f'{args.batches} batches gave {len(rows[0])} rows, fewer than '
            f'--rows {min(args.rows)}: take more --batches or fewer --rows.'
        )
    print(make_table(weigh(hooks[0].losses, rows, sizes)))


if __name__ == '__main__':
    main()
