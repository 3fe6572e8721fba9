"""The formulas of the papers, written naively in plain PyTorch.

Without regard to time, memory, or overflow with logits that are far apart.
Each takes the student's and the teacher's logits (N, C) and the labels (N,),
and returns the mean.
"""

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
