#!/usr/bin/env python
"""The overhead of a training step with a teacher.

A step with a teacher takes at least as long as the step of the student alone
plus the teacher's forward pass. Measured in one process, interleaved:

* student: MMEngine's step of the config without the distillation hook;
* teacher: its bare forward pass, on images and RoIs that are ready;
* distilled: MMEngine's step of the config;

and from each round

* overhead: (distilled - student - teacher) / teacher

in wall-clock time and in CPU time, which is more reliable on a machine under
other load. Then the parts of the step are timed: "own time" is what the plugin
itself takes, including the losses and their backward pass to the logits, as a
fraction of the teacher's forward pass. It is measured directly, not as a
difference of large numbers, so it is the most reliable of the three. Parts are
timed in CPU time on the CPU, and in wall-clock time of the host on a GPU. Each
term is also timed alone, see term_cost.py, and its peak memory is measured.

Data loading is excluded: all steps use one batch of noise and a learning rate
of 0. A teacher whose checkpoint is missing gets random weights, since only
time and memory count. Memory is the peak on top of what was allocated before
the step, as PyTorch's allocator counts it, without the scratch memory of
libraries such as oneDNN. On a GPU, the clock is read after synchronising.

For example:
  python tools/benchmark/step.py configs/frcnn_r101_r18_ckd.py --size 800 1333
  python tools/benchmark/step.py configs/cifar100/resnet56_resnet20.py \\
      --size 32 32 --batch 64 --steps 5
"""

import statistics
import time

import torch
from noise import use_noise
from peak_memory import peak_memory
from runs import (
    build_parser,
    run_benchmark,
    start,
    student_alone,
    training_config,
)
from stepping import (
    distill_hook,
    print_parts,
    request_of,
    time_parts,
)
from term_cost import ALL, cost_of_terms, print_costs
from timing import CLOCKS, compare, summary

from mmkd_plugin import ExactResumeHook

OWN = (
    'DistillHook',
    'Distiller',
    'TermGuard',
    'network: distillation losses',
    'conversion of images',
    'tap',
)


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('config')
    parser.add_argument('--batch', type=int, default=2, help='images per step')
    parser.add_argument(
        '--size', type=int, nargs=2, required=True, metavar=('H', 'W')
    )
    parser.add_argument('--steps', type=int, default=1, help='per round')
    args = parser.parse_args()
    if min(args.steps, args.rounds, args.batch, *args.size) < 1:
        parser.error('expected numbers of at least 1')
    return args


def bare_forward(runner, request):
    """Lower bound: a function that runs the teacher and nothing else."""
    (teacher,) = distill_hook(runner).distiller.teachers
    model, wrapper = teacher.model, runner.optim_wrapper
    images = teacher.to_input(request.inputs, request.data_samples)

    @torch.no_grad()
    def forward():
        with (
            wrapper.optim_context(runner.model),
            teacher.speed.autocast(images.device.type),
        ):
            features = model.extract_feat(images)
            return [ask(model, features) for ask in request.asks]

    return forward


def overheads(times, clock):
    """Overhead relative to the teacher's forward pass, per round."""
    return [
        (ours[clock] - alone[clock] - teacher[clock]) / teacher[clock]
        for alone, teacher, ours in zip(
            times['student'], times['teacher'], times['distilled']
        )
    ]


def measure(args, folder):
    """All figures, as a dict of plain numbers."""
    cfg, _ = training_config(args, folder)
    use_noise(cfg, args.size, args.batch)
    student = start(student_alone(cfg), 'student', ExactResumeHook())
    runner = start(cfg, 'distilled', ExactResumeHook())
    (teacher,) = distill_hook(runner).distiller.teachers
    request = request_of(runner)
    reading = request.reading
    variants = dict(
        student=student.train_loop.step,
        teacher=bare_forward(runner, request),
        distilled=runner.train_loop.step,
    )
    times = compare(variants, args.steps, args.rounds)
    memory = {name: peak_memory(step) for name, step in variants.items()}
    on_cpu = request.inputs.device.type == 'cpu'
    clock = time.process_time if on_cpu else time.perf_counter
    steps = args.steps * args.rounds
    terms = cost_of_terms(runner, request, steps)
    backward = terms[ALL]['backward']
    parts = time_parts(runner, steps, clock)
    own = backward + sum(parts.get(name, 0) for name in OWN)
    return dict(
        config=args.config,
        device=str(request.inputs.device),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        images=list(request.inputs.shape),
        samples=None if reading is None else len(reading.student),
        rounds=args.rounds,
        steps=args.steps,
        milliseconds={
            name: dict(zip(CLOCKS, map(summary, zip(*rounds))))
            for name, rounds in times.items()
        },
        overhead={
            name: summary(overheads(times, index))
            for index, name in enumerate(CLOCKS)
        },
        own_time=dict(
            milliseconds=own,
            share=own / statistics.median(t[on_cpu] for t in times['teacher']),
            backward=backward,
        ),
        terms=terms,
        peak_memory=memory,
        teacher_weights=sum(
            w.nbytes for w in teacher.model.state_dict().values()
        ),
        parts=parts,
    )


def report(found):
    """Print the figures as Markdown tables."""
    samples = found['samples']
    print(
        f'{found["config"]}, images {found["images"]}, '
        f'{"features alone" if samples is None else f"{samples} samples"}, '
        f'on {found["device"]} with {found["threads"]} threads, '
        f'torch {found["torch"]}, {found["rounds"]} rounds of '
        f'{found["steps"]} steps\n'
    )
    print('| | ms | quartiles | CPU ms | peak memory, MiB |')
    print('|---|--:|--:|--:|--:|')
    for name, ms in found['milliseconds'].items():
        low, high = ms['clock']['quartiles']
        memory = found['peak_memory'][name] / 2**20
        print(
            f'| {name} | {ms["clock"]["median"]:.2f} '
            f'| {low:.2f} to {high:.2f} | {ms["processor"]["median"]:.2f} '
            f'| {memory:.1f} |'
        )
    print("\n| relative to the teacher's forward pass | | quartiles |")
    print('|---|--:|--:|')
    for name, share in found['overhead'].items():
        low, high = share['quartiles']
        print(
            f'| overhead, by the {name} | {share["median"]:.1%} '
            f'| {low:.1%} to {high:.1%} |'
        )
    own = found['own_time']
    print(f'| own time, {own["milliseconds"]:.2f} ms | {own["share"]:.1%} | |')
    weights = found['teacher_weights'] / 2**20
    print(f'\nWeights of the teacher: {weights:.1f} MiB.\n')
    clock = CLOCKS[found['device'] == 'cpu']
    print_costs(
        found['terms'], found['milliseconds']['student'][clock]['median']
    )
    print()
    print_parts(found['parts'])


def main():
    run_benchmark(parse_args(), measure, report)


if __name__ == '__main__':
    main()
