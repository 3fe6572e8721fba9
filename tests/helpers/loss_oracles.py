"""What the oracles of the losses are written with.

The oracle of a loss is the formula of its paper, written out in plain loops
on rows of Python numbers with 60 digits; it stands in the test of the loss
and gives one value per row. No tensor code and no log-space trick is shared
with the package: a probability is exp over the sum of exps, and `Decimal`
neither over- nor underflows.
"""

from decimal import Decimal, localcontext

import torch


def exactly(formula):
    """Let a formula on rows of Decimals take tensors and give floats."""

    def oracle(student, teacher, labels, standardize=False, **numbers):
        with localcontext() as context:
            context.prec = 60
            student = [[Decimal(z) for z in row] for row in student.tolist()]
            teacher = [[Decimal(z) for z in row] for row in teacher.tolist()]
            if standardize:
                student = [standardized(row) for row in student]
                teacher = [standardized(row) for row in teacher]
            values = formula(
                student,
                teacher,
                labels.tolist(),
                **{name: Decimal(x) for name, x in numbers.items()},
            )
            return torch.tensor(
                [float(value) for value in values], dtype=torch.float64
            )

    return oracle


def standardized(row):
    mean = sum(row) / len(row)
    variance = sum((z - mean) ** 2 for z in row) / (len(row) - 1)
    return [(z - mean) / (Decimal('1e-7') + variance.sqrt()) for z in row]


def softmax(row, tau):
    exps = [(z / tau).exp() for z in row]
    return [e / sum(exps) for e in exps]


def kl(p, q):
    total = Decimal(0)
    for i in range(len(p)):
        if p[i] > 0:
            total += p[i] * (p[i] / q[i]).ln()
    return total


def pick_and_rest(p, chosen):
    rest = sum((p[i] for i in range(len(p)) if i != chosen), Decimal(0))
    return [p[chosen], rest]
