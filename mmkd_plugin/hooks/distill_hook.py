"""The hook that makes a runner train its model with a teacher."""

from numbers import Integral

import torch
import torch.nn as nn
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS, TASK_UTILS
from mmengine.runner import IterBasedTrainLoop
from torch import Tensor

from ..compat import check_versions
from ..preprocessing import TeacherInput
from ..teacher import build_teacher

DIAGNOSTICS = ('kd_agreement', 'kd_teacher_acc')


@HOOKS.register_module()
class DistillHook(Hook):
    """Add distillation terms to the losses of the model in training.

    The terms join the dict of losses that the model's forward returns, so
    the engine sums, scales, accumulates and logs them like any other.  The
    teacher is an attribute of this hook and never part of the model: it is
    in no checkpoint, optimiser, EMA copy or DDP bucket, and testing never
    builds it.

    Beside each term the log shows ``kd_agreement``, the share of samples of
    which student and teacher choose the same class, and ``kd_teacher_acc``,
    the share of which the teacher chooses the label; both in [0, 1].

    Args:
        teacher (dict): ``config``, a path, an ``mmdet::`` name or a dict,
            and ``checkpoint``, a path or URL.
        losses (dict): Name of each term in the log to the config of its
            loss.  A name must contain 'loss', because MMEngine
            back-propagates no other.
        tap (dict): Config of the tap that reads the logits.
        warmup (int): The terms grow linearly over this many epochs, the
            first being 1 / warmup.
        begin (int): Epochs before the first one that distils.
        end (int, optional): Last epoch that distils, counted from 1.
        by_epoch (bool): Whether the three count epochs or iterations.

    Raises:
        TypeError, ValueError: If an argument is not as said above.
    """

    # After the hooks that prepare an iteration, before the loggers.
    priority = 'NORMAL'

    def __init__(
        self,
        teacher: dict,
        losses: dict[str, dict],
        tap: dict | None = None,
        warmup: int = 0,
        begin: int = 0,
        end: int | None = None,
        by_epoch: bool = True,
    ) -> None:
        if not isinstance(teacher, dict) or set(teacher) != {
            'config',
            'checkpoint',
        }:
            raise TypeError(
                'Expected argument `teacher` to be a dict with `config` and '
                f'`checkpoint` but got {teacher!r}.'
            )
        if not isinstance(losses, dict) or not losses:
            raise TypeError(
                'Expected argument `losses` to be a dict with the config of '
                f'at least one loss but got {losses!r}.'
            )
        for name in losses:
            if 'loss' not in name:
                raise ValueError(
                    "Expected every name in `losses` to contain 'loss' but "
                    f'got {name!r}, which MMEngine would log and never '
                    'back-propagate.'
                )
        for name, value in dict(
            warmup=warmup, begin=begin, end=0 if end is None else end
        ).items():
            if not isinstance(value, Integral) or value < 0:
                raise ValueError(
                    f'Expected argument `{name}` to be an '
                    f'integer >= 0 but got {value!r}.'
                )
        if end is not None and end <= begin:
            raise ValueError(
                'Expected argument `end` to be larger than '
                f'`begin` = {begin} but got {end}.'
            )
        self.teacher_cfg = teacher
        self.losses = {
            name: MODELS.build(loss) for name, loss in losses.items()
        }
        self.tap = TASK_UTILS.build(tap or dict(type='RoIHeadTap'))
        self.warmup = warmup
        self.begin = begin
        self.end = end
        self.by_epoch = by_epoch
        self.factor = 1.0
        self.teacher: nn.Module | None = None

    def factor_at(self, step: int) -> float:
        """Factor of the terms in an epoch or iteration counted from 1.

        Returns:
            float: In [0, 1].
        """
        if step <= self.begin or (self.end is not None and step > self.end):
            return 0.0
        return min((step - self.begin) / max(self.warmup, 1), 1.0)

    def before_train(self, runner) -> None:
        """Build the teacher and connect it to the model.

        Raises:
            FileNotFoundError, TypeError, ValueError: If there is no teacher
                that fits the model.
        """
        if (
            self.by_epoch
            and (self.warmup or self.begin or self.end)
            and isinstance(runner.train_loop, IterBasedTrainLoop)
        ):
            raise ValueError(
                f'{type(self).__name__} was given `warmup`, `begin` or `end` '
                'in epochs, but the training loop counts iterations: give '
                'them in iterations and set `by_epoch=False`.'
            )
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        package = type(model).__module__.split('.')[0]
        if package in ('mmdet', 'mmpretrain'):
            check_versions(package, 'mmcv')
        self.teacher = build_teacher(**self.teacher_cfg)
        self.tap.attach(model, self.teacher)
        self.teacher.to(next(model.parameters()).device)
        self._to_teacher_input = TeacherInput(
            model.data_preprocessor, self.teacher.data_preprocessor
        )
        # A plain function: deepcopy would copy a bound method's object.
        self._handle = model.register_forward_hook(
            lambda *call: self._add_terms(*call), with_kwargs=True
        )
        count = sum(p.numel() for p in self.teacher.parameters()) / 1e6
        runner.logger.info(
            f'{type(self).__name__}: teacher {type(self.teacher).__name__} '
            f'({count:.1f} M parameters, {self.teacher_cfg["checkpoint"]}), '
            f'terms {", ".join(self.losses)}'
            f'{"" if self._to_teacher_input.identity else ", renormalised"}'
        )

    def before_train_iter(
        self, runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set the factor of this iteration."""
        self.factor = self.factor_at(
            (runner.epoch if self.by_epoch else runner.iter) + 1
        )
        if self.factor == 0:
            # The log shows the last value of a key that is not written.
            for name in DIAGNOSTICS:
                runner.message_hub.log_scalars.pop(f'train/{name}', None)

    def after_train(self, runner) -> None:
        """Give the model back as it was, and free the teacher."""
        self._handle.remove()
        self.tap.detach()
        self.teacher = None

    def _add_terms(
        self, model: nn.Module, args: tuple, kwargs: dict, output
    ) -> dict | None:
        """Forward hook of the model: the losses, with the terms added."""
        call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
        if not model.training or call.get('mode') != 'loss':
            return None
        clash = self.losses.keys() & output.keys()
        if clash:
            raise ValueError(
                f'The model already has a loss named {min(clash)!r}: give '
                'the distillation term another name.'
            )
        inputs = call['inputs']
        if self.factor == 0:
            self.tap.clear()
            pair = None
        else:
            with torch.no_grad():
                teacher_inputs = self._to_teacher_input(
                    inputs, call.get('data_samples')
                )
            pair = self.tap.read(self.teacher, teacher_inputs)
        if pair is None:
            zero = inputs.new_zeros(())
            return {**output, **dict.fromkeys(self.losses, zero)}
        terms = {
            name: self.factor * loss(*pair)
            for name, loss in self.losses.items()
        }
        return {**output, **terms, **_diagnose(*pair)}


@torch.no_grad()
def _diagnose(
    student: Tensor, teacher: Tensor, labels: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """Shares of samples with one choice, among those of weight > 0."""
    counted = (weights > 0).float()
    total = counted.sum().clamp(min=1)
    choice = teacher.argmax(1)
    agreement = ((choice == student.argmax(1)) * counted).sum() / total
    accuracy = ((choice == labels) * counted).sum() / total
    return dict(zip(DIAGNOSTICS, (agreement, accuracy)))
