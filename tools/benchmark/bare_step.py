"""A bare training loop with a frozen teacher and the losses of a config.

The lower bound of what a step of a classifier costs: no engine, no checks, and
plain hooks on the modules that the losses compare.
"""

import torch
import torch.nn.functional as F
from runs import build
from stepping import distill_hook

from mmkd_plugin.distill.terms import LOGITS, kind_of
from mmkd_plugin.taps.maps.map_sizes import fit
from mmkd_plugin.taps.maps.recorder import Recorder
from mmkd_plugin.taps.maps.stage_paths import places

KINDS = {
    LOGITS,
    'features',
    'margins',
    'vectors',
    'indexed_vectors',
    'class_maps',
}


class BareTerm:
    """A loss of a config on what two models gave in their last forward.

    Args:
        loss (nn.Module): The loss.
        tap: Its tap, which says what is compared.
        student, teacher (nn.Module): The models.

    Raises:
        SystemExit: If it compares something else than classifiers have.
    """

    def __init__(self, name, loss, tap, student, teacher):
        self.kind = kind_of(tap)
        if self.kind not in KINDS:
            raise SystemExit(
                f'error: the bare loop knows no loss of {self.kind}, such as '
                f'{name} of the config: give a config whose losses compare '
                f'{", ".join(sorted(KINDS))}.'
            )
        self.loss, self.models = loss, (student, teacher)
        self.resize = getattr(tap, 'resize', 'keep')
        shared = getattr(tap, 'shared', lambda model: ())
        taught = shared(teacher)
        if hasattr(tap, 'teacher_modules'):
            taught = places(teacher, tap.teacher_modules)
        self.recorders = [
            Recorder(model, names, 'model')
            for model, names in ((student, shared(student)), (teacher, taught))
        ]

    def open(self):
        """Begin to keep what the modules give."""
        for recorder in self.recorders:
            recorder.open()

    def __call__(self, logits, taught, labels, indices):
        """The value of the loss."""
        if self.kind == LOGITS:
            return self.loss(logits, taught, labels, None)
        own, other = (recorder.take() for recorder in self.recorders)
        if self.kind in ('features', 'margins'):
            pairs = zip(*map(self._fit, own, other))
            return self.loss(*pairs, None, None)
        if self.kind == 'class_maps':
            maps = (
                F.conv2d(part[0], model.head.fc.weight[:, :, None, None])
                for part, model in zip((own, other), self.models)
            )
            return self.loss(*maps, None, None)
        if self.kind == 'indexed_vectors':
            labels = labels, indices
        return self.loss(own[0].flatten(1), other[0].flatten(1), labels, None)

    def _fit(self, own, other):
        return fit(own, other, self.resize, 'a map')


def bare_step(cfg, runner):
    """A function that makes one step of a bare loop.

    Args:
        cfg (Config): Of the runner.
        runner (Runner): Has made no step yet; gives data, teacher and losses.

    Raises:
        SystemExit: See :class:`BareTerm`.
    """
    distiller = distill_hook(runner).distiller
    teacher = distiller.teachers[0].model
    device = next(runner.model.parameters()).device
    student = build(cfg).to(device).train()
    terms = [
        BareTerm(name, loss, tap, student, teacher)
        for name, (loss, tap) in distiller.terms.items()
    ]
    parameters = [
        *student.parameters(),
        *(p for term in terms for p in term.loss.parameters()),
    ]
    optimizer = dict(cfg.optim_wrapper.optimizer)
    optimizer = getattr(torch.optim, optimizer.pop('type'))(
        parameters, **optimizer
    )
    loader = runner.train_dataloader
    first = list(range(loader.batch_sampler.batch_size))
    batch = student.data_preprocessor(loader.dataset.__getitems__(first), True)
    images = batch['inputs']
    labels = torch.cat([s.gt_label for s in batch['data_samples']])
    indices = torch.tensor(first, device=device)
    weight = float(distiller.task_loss)

    def step():
        for term in terms:
            term.open()
        # Before the student, whose activations would add to the peak.
        with torch.no_grad():
            taught = teacher(images, mode='tensor')
        logits = student(images, mode='tensor')
        loss = weight * F.cross_entropy(logits, labels)
        for term in terms:
            loss = loss + term(logits, taught, labels, indices)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
