"""What the benchmarks share."""

import statistics

import torch


def synchronize():
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def quartiles(values):
    """First and third quartile of a list."""
    if len(values) == 1:
        return values * 2
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return low, high
