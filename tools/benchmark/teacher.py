#!/usr/bin/env python
"""What each option of a teacher saves, and how it changes the logits.

The student makes some steps, and the teacher's inputs in them are kept
(images, and the RoIs that the student sampled). Teachers with the same weights
and other options then compute the logits of the same inputs, timed in turn.
Compared with the teacher without options, in the student's precision:

* ratio: of the times, per round;
* largest change: of a logit; and relative to the largest logit;
* other choice: fraction of samples whose top-1 class changes;
* agreement: the change of it, as a fraction; the hook logs it in percent.

With --size the images are noise, otherwise the training data of the config.
A teacher whose checkpoint is missing gets random weights, with batch
normalisation statistics estimated on noise; so does a student without
`load_from`.

For example, with BCCD and weights of the teacher where the config says:
  python tools/benchmark/teacher.py configs/bccd/frcnn_r18w32_r18w8_ckd.py
"""

import statistics

import torch
from noise import freeze, use_noise
from runs import build_parser, run_benchmark, start, training_config
from stepping import answer, distill_hook, request_of
from timing import compare, summary

from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.distill.terms import LOGITS, kind_of
from mmkd_plugin.teachers.teacher import Teacher

PLAIN = dict(
    fuse_bn=False, channels_last=None, compile=False, precision='same'
)
OPTIONS = (
    dict(),
    dict(fuse_bn=True),
    dict(channels_last=True),
    dict(precision='bf16'),
    dict(precision='fp16'),
    dict(compile=True),
    dict(fuse_bn=True, channels_last=True),
    dict(fuse_bn=True, channels_last=True, precision='bf16'),
    dict(fuse_bn=True, channels_last=True, precision='fp16'),
    dict(fuse_bn=True, channels_last=True, compile=True),
    dict(fuse_bn=True, channels_last=True, compile=True, precision='fp16'),
)


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'))
    parser.add_argument(
        '--batch', type=int, default=2, help='images per batch of noise'
    )
    parser.add_argument('--batches', type=int, default=4)
    parser.add_argument(
        '--compile',
        action='store_true',
        help='also measure the options that compile, which takes minutes',
    )
    args = parser.parse_args()
    if min(args.rounds, args.batch, args.batches, *(args.size or [1])) < 1:
        parser.error('expected numbers of at least 1')
    return args


def name_of(options):
    """Options as they are written in a config."""
    return ', '.join(f'{k}={v!r}' for k, v in options.items()) or 'none'


def agreement(logits, readings):
    """Fraction of samples with the same top-1 class in both models."""
    same = [
        logits.argmax(1) == reading.student.argmax(1)
        for logits, reading in zip(logits, readings)
    ]
    return torch.cat(same).double().mean().item()


def changes(found, wanted, readings):
    """How options changed the logits: names to numbers."""
    largest = max(x.abs().max().item() for x in wanted)
    change = max(
        (a.float() - b.float()).abs().max().item()
        for a, b in zip(found, wanted)
    )
    other = torch.cat(
        [a.argmax(1) != b.argmax(1) for a, b in zip(found, wanted)]
    )
    return dict(
        largest_change=change,
        relative=change / largest,
        other_choice=other.double().mean().item(),
        agreement=agreement(found, readings) - agreement(wanted, readings),
    )


def logits_of(request, runner):
    """What the first loss of both models' own logits was called with.

    Of a cascade, on its first stage.

    Raises:
        SystemExit: If there is none.
    """
    for name, (_, tap) in distill_hook(runner).distiller.terms.items():
        if kind_of(tap) == LOGITS and not getattr(tap, 'crossed', False):
            return request.stages[name][0][2]
    raise SystemExit(
        "error: expected a loss of both models' own logits, which this "
        'command compares, but the config distils features, boxes or a '
        'crossed head alone: give a config with such a loss.'
    )


def answer_all(teacher, requests):
    """The teacher's logits for all requests."""
    return [answer(teacher, request) for request in requests]


def measure(args, folder):
    """All figures, as a dict of plain numbers."""
    cfg, hook_cfg = training_config(args, folder)
    if args.size:
        use_noise(cfg, args.size, args.batch, args.batches)
    freeze(cfg)
    runner = start(cfg, 'student')
    distiller = distill_hook(runner).distiller
    requests = [request_of(runner) for _ in range(args.batches)]
    readings = [logits_of(request, runner) for request in requests]
    described = str(distiller.teachers[0])
    if distiller.teachers[0].missing_names:
        raise SystemExit(
            'error: expected a teacher that knows all classes of the student, '
            'whose logits this command compares, but got '
            "missing_classes='leave_out': give a config without it."
        )
    distiller.detach()
    classes = names_of(runner.train_dataloader.dataset)
    teachers, refused = {}, {}
    for options in OPTIONS:
        if options.get('compile') and not args.compile:
            continue
        name = name_of(options)
        teacher = Teacher(**{**hook_cfg.teacher, **PLAIN, **options})
        try:
            distiller.attach(runner.model, [teacher], classes)
            distiller.detach()  # the teacher stays fitted to the student
        except ValueError as error:
            refused[name] = str(error)
            continue
        teachers[name] = teacher
    logits = {
        name: answer_all(teacher, requests)
        for name, teacher in teachers.items()
    }
    times = compare(
        {
            name: lambda teacher=teacher: answer_all(teacher, requests)
            for name, teacher in teachers.items()
        },
        1,
        args.rounds,
    )
    rows = {}
    for name, rounds in times.items():
        wall = [ms / args.batches for ms, _ in rounds]
        base = [ms / args.batches for ms, _ in times['none']]
        rows[name] = dict(
            milliseconds=summary(wall),
            ratio=summary([a / b for a, b in zip(wall, base)]),
            **changes(logits[name], logits['none'], readings),
        )
    return dict(
        config=args.config,
        teacher=described,
        device=str(requests[0].inputs.device),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        batches=[list(request.inputs.shape) for request in requests],
        samples=sum(len(reading.student) for reading in readings),
        rounds=args.rounds,
        agreement=agreement(logits['none'], readings),
        rows=rows,
        refused=refused,
    )


def report(found):
    """Print the figures as a Markdown table."""
    sizes = statistics.multimode(tuple(size) for size in found['batches'])
    print(
        f'{found["teacher"]}, {len(found["batches"])} batches such as '
        f'{list(sizes[0])}, {found["samples"]} samples, on '
        f'{found["device"]} with {found["threads"]} threads, torch '
        f'{found["torch"]}, {found["rounds"]} rounds, agreement '
        f'{found["agreement"]:.4f}\n'
    )
    print('| options | ms per batch | ratio | quartiles ', end='')
    print('| largest change | relative | other choice | agreement |')
    print('|---|--:|--:|--:|--:|--:|--:|--:|')
    for name, row in found['rows'].items():
        low, high = row['ratio']['quartiles']
        print(
            f'| {name} | {row["milliseconds"]["median"]:.2f} '
            f'| {row["ratio"]["median"]:.3f} | {low:.3f} to {high:.3f} '
            f'| {row["largest_change"]:.2g} | {row["relative"]:.2g} '
            f'| {row["other_choice"]:.2%} | {row["agreement"]:+.4f} |'
        )
    for name, why in found['refused'].items():
        print(f'\n{name} is not possible here: {why}')


def main():
    run_benchmark(parse_args(), measure, report)


if __name__ == '__main__':
    main()
