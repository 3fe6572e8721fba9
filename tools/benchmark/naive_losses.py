"""The formulas of the papers, written naively in plain PyTorch.

Without regard to time, memory, or overflow with logits that are far apart.
Each takes what student and teacher give, logits (N, C), vectors (N, D), maps
(N, C, h, w) or a tuple of such, and the labels (N,), and returns the mean.
"""

import math

import torch
import torch.nn.functional as F


def kl(log_q, p):
    return F.kl_div(log_q, p, reduction='none').sum(1)


def kd(student, teacher, labels, tau):
    student, teacher = student.float(), teacher.float()
    log_q = (student / tau).log_softmax(1)
    p = (teacher / tau).softmax(1)
    return tau**2 * kl(log_q, p).mean()


def binary_kl(q, p):
    q = torch.stack([q, 1 - q], 1)
    p = torch.stack([p, 1 - p], 1)
    return kl(q.log(), p)


def masked_kl(student, teacher, masked, tau):
    student = student.masked_fill(masked, -1e9)
    teacher = teacher.masked_fill(masked, -1e9)
    return kl((student / tau).log_softmax(1), (teacher / tau).softmax(1))


def dkd(student, teacher, labels, alpha, beta, tau):
    student, teacher = student.float(), teacher.float()
    is_target = F.one_hot(labels, student.shape[1]).bool()
    q = (student / tau).softmax(1)
    p = (teacher / tau).softmax(1)
    tckd = binary_kl(q[is_target], p[is_target])
    nckd = masked_kl(student, teacher, is_target, tau)
    return (tau**2 * (alpha * tckd + beta * nckd)).mean()


def rld(student, teacher, labels, alpha, beta, tau_scd, tau_mcd):
    student, teacher = student.float(), teacher.float()
    labels = labels.unsqueeze(1)
    q = (student / tau_scd).softmax(1)
    p = (teacher / tau_scd).softmax(1)
    scd = binary_kl(q.gather(1, labels).squeeze(1), p.amax(1))
    masked = teacher >= teacher.gather(1, labels)
    mcd = masked_kl(student, teacher, masked, tau_mcd)
    return (alpha * tau_scd**2 * scd + beta * tau_mcd**2 * mcd).mean()


def ckd(student, teacher, labels, tau):
    student = F.normalize(student.float())
    teacher = F.normalize(teacher.float())
    similarity = teacher @ student.T / tau
    own = torch.arange(len(similarity), device=similarity.device)
    return F.cross_entropy(similarity, own)


def swap(student, teacher, labels, tau):
    teacher = teacher.float().clone()
    rows = torch.arange(len(labels), device=labels.device)
    top = teacher.argmax(1)
    own, largest = teacher[rows, labels], teacher.amax(1)
    teacher[rows, top] = own
    teacher[rows, labels] = largest
    return kd(student, teacher, labels, tau)


def rc(student, teacher, labels, beta, tau):
    corrected = student.detach().float().clone()
    rows = torch.arange(len(labels), device=labels.device)
    corrected[rows, labels] += corrected.amax(1)
    return kd(student, teacher, labels, tau) + beta * kd(
        student, corrected, labels, tau
    )


def revision(student, teacher, labels, alpha, beta):
    student, teacher = student.float(), teacher.float()
    right = teacher.argmax(1) == labels
    agreed = F.cross_entropy(student[right], labels[right])
    agreed = agreed + alpha * F.mse_loss(student[right], teacher[right])
    p = teacher[~right].softmax(1)
    label = labels[~right].unsqueeze(1)
    share = beta / (p.amax(1, keepdim=True) - p.gather(1, label) + 1)
    target = share * p
    target = target + (1 - share) * F.one_hot(label[:, 0], p.shape[1])
    return agreed + F.mse_loss(student[~right].softmax(1), target)


def mlkd(student, teacher, labels, taus):
    student, teacher = student.float(), teacher.float()
    total = 0
    for tau in taus:
        q, p = (student / tau).softmax(1), (teacher / tau).softmax(1)
        total = total + kd(student, teacher, labels, tau)
        batch = (q @ q.T - p @ p.T).square().sum() / len(q)
        classes = (q.T @ q - p.T @ p).square().sum() / q.shape[1]
        total = total + batch + classes
    return total


def rkd(student, teacher, labels, distance_weight, angle_weight):
    def relations(rows):
        gaps = rows.unsqueeze(0) - rows.unsqueeze(1)
        distances = (gaps.square().sum(2) + 1e-12).sqrt()
        units = gaps / distances.unsqueeze(2)
        mean = distances[distances > 1e-5].mean()
        return distances / mean, units @ units.mT

    own, other = relations(student.float()), relations(teacher.float())
    return distance_weight * F.smooth_l1_loss(
        own[0], other[0]
    ) + angle_weight * F.smooth_l1_loss(own[1], other[1])


def at(student, teacher, labels):
    (student,), (teacher,) = student, teacher
    own, other = (
        F.normalize(maps.float().square().mean(1).flatten(1))
        for maps in (student, teacher)
    )
    return F.mse_loss(own, other)


def sp(student, teacher, labels):
    (student,), (teacher,) = student, teacher
    own, other = (
        F.normalize(rows @ rows.T)
        for rows in (student.float().flatten(1), teacher.float().flatten(1))
    )
    return F.mse_loss(own, other)


def catkd(student, teacher, labels, size, normalize):
    own, other = (
        F.adaptive_avg_pool2d(maps.float(), size).flatten(2)
        for maps in (student, teacher)
    )
    if normalize:
        own, other = F.normalize(own, dim=2), F.normalize(other, dim=2)
    return F.mse_loss(own, other)


def cc(student, teacher, labels, gamma):
    def kernel(rows):
        products = F.normalize(rows) @ F.normalize(rows).T
        factors = [
            math.exp(-2 * gamma) * (2 * gamma) ** power / math.factorial(power)
            for power in range(3)
        ]
        return sum(f * products**power for power, f in enumerate(factors))

    return F.mse_loss(kernel(student.float()), kernel(teacher.float()))


def wkdl(
    student,
    teacher,
    labels,
    gamma,
    tau,
    reg,
    iterations,
    sharpness,
    distances,
):
    """With equal distances."""
    student, teacher = student.float(), teacher.float()
    label = labels.unsqueeze(1)
    own = student.log_softmax(1).gather(1, label)
    target = -(teacher.softmax(1).gather(1, label) * own).mean()
    rest = ~F.one_hot(labels, student.shape[1]).bool()
    size = student.shape[1] - 1
    q, p = (
        (logits[rest].view(-1, size) / tau).log_softmax(1)
        for logits in (student, teacher)
    )
    cost = 1 - torch.eye(size, device=q.device)
    cost = cost * (1 - math.exp(-sharpness))
    f = torch.zeros_like(q)
    for _ in range(iterations):
        g = reg * (p - ((f.unsqueeze(2) - cost) / reg).logsumexp(1))
        f = reg * (q - ((g.unsqueeze(1) - cost) / reg).logsumexp(2))
    flow = ((f.unsqueeze(2) + g.unsqueeze(1) - cost) / reg).exp()
    return target + gamma * (flow * cost).sum((1, 2)).mean()


def fitnet(student, teacher, labels, loss):
    (student,), (teacher,) = student, teacher
    return F.mse_loss(loss.adapters[0](student.float()), teacher.float())


def vid(student, teacher, labels, loss):
    (student,), (teacher,) = student, teacher
    gap = loss.regressors[0](student.float()) - teacher.float()
    variance = F.softplus(loss.spreads[0])[:, None, None] + 1e-5
    return (gap**2 / variance + variance.log()).mean() / 2


def ofd(student, teacher, labels, loss):
    (student,), (teacher,) = student, teacher
    own, target = loss.connectors[0](student.float()), teacher.float()
    counted = (own > target) | (target > 0)
    return ((own - target) ** 2 * counted).sum() / len(own)
