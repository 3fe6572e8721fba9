"""What a box head of a student did in its last forward.

B images, N sampled RoIs, P of them foreground, K classes, C = K + 1 logits
with the background last.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn as nn
from torch import Tensor

from ...exceptions import MMKDRuntimeError
from ..listener import Listener
from .roi_align import convert_inputs
from .roi_heads import OnRoIs, box_heads


class Extracted(NamedTuple):
    """What the box head's extractor got last.

    Attributes:
        maps: Feature maps, each (B, channels, h, w).
        rois: Image index and corners x1, y1, x2, y2 in pixels of the padded
            batch, (N, 5).
    """

    maps: tuple[Tensor, ...]
    rois: Tensor


class RoIs(NamedTuple):
    """The RoIs on which the student was trained.

    Attributes:
        logits: (N, C).
        deltas: (N, 4 D); None if the head refines no boxes.
        labels: Class ids, K for background, (N,).
        weights: >= 0, (N,).
        targets: Ground-truth deltas of the foreground RoIs in their order,
            (P, 4); None if the loss of the boxes did not run.
        maps: Feature maps from which the RoIs were cut.
        ask: The question to the teacher.
    """

    logits: Tensor
    deltas: Tensor | None
    labels: Tensor
    weights: Tensor
    targets: Tensor | None
    maps: tuple[Tensor, ...]
    ask: OnRoIs


class RoIRecord:
    """Hooks on a student's box head, and what they saw in its last forward.

    Samplers and PISA call ``loss_cls`` several times; the last call with the
    box head's latest logits counts.

    Args:
        student: A detector that
            :func:`~mmkd_plugin.taps.roi.roi_heads.refuse_roi_head` accepts.
        refuse: Called with a student whose modules were replaced.
        stage: Of a cascade, which of its box heads.
    """

    def __init__(
        self,
        student: nn.Module,
        refuse: Callable[[nn.Module], None],
        stage: int = 0,
    ) -> None:
        self._stage = stage
        self.clear()
        self._listener = Listener(student, self._modules, self._hooks, refuse)

    def _modules(self, student: nn.Module) -> tuple:
        """The modules that RoIs, logits and boxes pass through."""
        extractor, head = box_heads(student)[self._stage]
        loss_bbox = getattr(head, 'loss_bbox', None)
        return extractor, head, head.loss_cls, loss_bbox

    def _hooks(self, student: nn.Module):
        """Register hooks on the modules that RoIs and logits pass through."""
        extractor, head, loss_cls, loss_bbox = self._modules(student)
        yield extractor.register_forward_pre_hook(
            lambda *call: self._on_extract(*call), with_kwargs=True
        )
        yield head.register_forward_hook(lambda *call: self._on_head(*call))
        yield loss_cls.register_forward_pre_hook(
            lambda *call: self._on_loss(*call), with_kwargs=True
        )
        if isinstance(loss_bbox, nn.Module):
            yield loss_bbox.register_forward_pre_hook(
                lambda *call: self._on_box_loss(*call), with_kwargs=True
            )
        # Of all stages and branches; the first record does it for all.
        for module in student.roi_head.modules():
            if hasattr(module, 'roi_layers') and self._stage == 0:
                yield module.register_forward_pre_hook(
                    convert_inputs, with_kwargs=True
                )

    def close(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._listener.close()
        self.clear()

    def clear(self) -> None:
        """Drop the references to the last forward, to free its graph."""
        self._extracted: Extracted | None = None
        self._classified: Extracted | None = None
        self._output: tuple[Tensor, Tensor | None] | None = None
        self._loss_args: tuple[Tensor, Tensor, Tensor] | None = None
        self._targets: Tensor | None = None

    def _on_extract(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if module.training:
            named = dict(zip(('feats', 'rois'), args), **kwargs)
            self._extracted = Extracted(tuple(named['feats']), named['rois'])

    def _on_head(self, module: nn.Module, args: tuple, output: tuple) -> None:
        """Keep the output, and the RoIs that were extracted last.

        Now, because a mask branch may share the extractor and overwrite them.
        """
        if not module.training:
            return
        logits, extracted = output[0], self._extracted
        if extracted is None or len(extracted.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head classified {len(logits)} rows, but its RoI '
                'extractor last got '
                f'{"no" if extracted is None else len(extracted.rois)} RoIs: '
                'this RoI head does not classify each extracted RoI once, '
                'which RoIHeadTap needs.'
            )
        self._output, self._classified = (logits, output[1]), extracted
        self._loss_args = self._targets = None
        if len(logits) == 0:
            # Without RoIs there is no `loss_cls`; the logits connect the terms
            # to the classifier, as DDP on the other ranks needs.
            labels = logits.new_zeros(0).long()
            self._loss_args = logits, labels, logits.new_zeros(0)

    def _on_loss(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        if not module.training:
            return
        named = dict(zip(('cls_score', 'label', 'weight'), args), **kwargs)
        logits, extracted = named['cls_score'], self._classified
        own = self._output is not None and logits is self._output[0]
        if not own and not logits.requires_grad:
            return  # weighs or samples RoIs, without training
        if extracted is None or len(extracted.rois) != len(logits):
            raise MMKDRuntimeError(
                f'The box head was trained on {len(logits)} rows, but it '
                'last classified '
                f'{"no" if extracted is None else len(extracted.rois)} RoIs: '
                'this RoI head does not train each classified RoI once, which '
                'RoIHeadTap needs.'
            )
        labels, weights = named['label'], named.get('weight')
        if weights is None:
            weights = logits.new_ones(len(logits))
        ignored = getattr(module, 'ignore_index', None)
        if ignored is not None:
            weights = weights.masked_fill(labels == ignored, 0)
        self._loss_args = logits, labels, weights

    def _on_box_loss(
        self, module: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if module.training and self._output is not None:
            named = dict(zip(('pred', 'target'), args), **kwargs)
            self._targets = named['target'].detach()

    def take(self) -> RoIs | None:
        """What the last forward did, once; then it is cleared.

        Returns:
            None if the box head did not run.

        Raises:
            RuntimeError: If the box head ran but its ``loss_cls`` did not.
        """
        output, extracted = self._output, self._classified
        loss_args, targets = self._loss_args, self._targets
        self.clear()
        if output is None or extracted is None:
            return None
        if loss_args is None:
            raise MMKDRuntimeError(
                f'The box head classified {len(output[0])} RoIs, but they '
                'did not reach its `loss_cls`, on which RoIHeadTap has its '
                'hook: use a box head whose `loss` calls '
                '`self.loss_cls(logits, labels, weights)`.'
            )
        ask = OnRoIs(extracted.rois, len(extracted.maps[0]), self._stage)
        return RoIs(
            loss_args[0],
            output[1],
            *loss_args[1:],
            targets,
            extracted.maps,
            ask,
        )
