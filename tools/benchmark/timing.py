"""Interleaved timing: all functions see the same load of the machine."""

import statistics
import time

import torch

CLOCKS = ('clock', 'processor')


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(variants, steps, rounds):
    """Time functions in turn, in every round.

    Args:
        variants (dict): Name to function.
        steps (int): Calls of each function per round.
        rounds (int): Number of rounds, after one for warming up.

    Returns:
        dict: Name to ``rounds`` pairs of milliseconds per call, one value
        for each of ``CLOCKS``.
    """
    times = {name: [] for name in variants}
    names = list(variants)
    for turn in range(-1, rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            synchronize()
            begin = time.perf_counter(), time.process_time()
            for _ in range(steps):
                variants[name]()
            synchronize()
            end = time.perf_counter(), time.process_time()
            if turn >= 0:
                times[name].append(
                    [1e3 * (b - a) / steps for a, b in zip(begin, end)]
                )
    return times


def quartiles(values):
    """First and third quartile."""
    if len(values) == 1:
        return list(values) * 2
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return [low, high]


def summary(values):
    """Median and quartiles, as a dict of numbers."""
    return dict(median=statistics.median(values), quartiles=quartiles(values))
