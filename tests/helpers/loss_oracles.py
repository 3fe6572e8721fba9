"""The losses a second time: naive formulas, plain loops, 60 digits.

Every function takes rows of Python numbers and gives one float a row. No
tensor code and no log-space trick is shared with the package: a probability
is exp over the sum of exps, and `Decimal` neither over- nor underflows.
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


@exactly
def kd(student, teacher, labels, tau):
    return [
        tau**2 * kl(softmax(t, tau), softmax(s, tau))
        for s, t in zip(student, teacher, strict=True)
    ]


@exactly
def dkd(student, teacher, labels, alpha, beta, tau):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        tckd = kl(
            pick_and_rest(softmax(t, tau), y),
            pick_and_rest(softmax(s, tau), y),
        )
        others = [i for i in range(len(t)) if i != y]
        nckd = kl(
            softmax([t[i] for i in others], tau),
            softmax([s[i] for i in others], tau),
        )
        values.append(tau**2 * (alpha * tckd + beta * nckd))
    return values


@exactly
def rld(student, teacher, labels, alpha, beta, tau_scd, tau_mcd):
    values = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        scd = kl(
            pick_and_rest(softmax(t, tau_scd), t.index(max(t))),
            pick_and_rest(softmax(s, tau_scd), y),
        )
        kept = [i for i in range(len(t)) if t[i] < t[y]]
        mcd = kl(
            softmax([t[i] for i in kept], tau_mcd),
            softmax([s[i] for i in kept], tau_mcd),
        )
        values.append(alpha * tau_scd**2 * scd + beta * tau_mcd**2 * mcd)
    return values


@exactly
def ckd(student, teacher, labels, tau):
    def unit(row):
        length = sum(z * z for z in row).sqrt()
        return [z / length if length else z for z in row]

    def dot(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    student = [unit(row) for row in student]
    teacher = [unit(row) for row in teacher]
    values = []
    for i in range(len(teacher)):
        exps = [(dot(teacher[i], s) / tau).exp() for s in student]
        values.append(-(exps[i] / sum(exps)).ln())
    return values


@exactly
def dist(student, teacher, labels, beta, gamma, tau):
    def correlation(a, b):
        a = [x - sum(a) / len(a) for x in a]
        b = [x - sum(b) / len(b) for x in b]
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        lengths = sum(x * x for x in a).sqrt() * sum(y * y for y in b).sqrt()
        return dot / (lengths + Decimal('1e-8'))

    student = [softmax(row, tau) for row in student]
    teacher = [softmax(row, tau) for row in teacher]
    columns = list(zip(zip(*student), zip(*teacher)))
    intra = sum(1 - correlation(s, t) for s, t in columns) / len(columns)
    return [
        tau**2 * (beta * (1 - correlation(s, t)) + gamma * intra)
        for s, t in zip(student, teacher, strict=True)
    ]
