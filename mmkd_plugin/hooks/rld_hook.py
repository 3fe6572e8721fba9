"""Preset: distil by RLD."""

from mmengine.registry import HOOKS

from .distill_hook import DistillHook


@HOOKS.register_module()
class RLDHook(DistillHook):
    """Train with a teacher by refined logit distillation.

    ``DistillHook`` with :class:`~mmkd_plugin.losses.RLDLoss` as ``loss_rld``,
    and defaults for detection.  The paper has no detection experiment; these
    are DKD's, which RLD equals where the teacher is right.  For image
    classification give the paper's, which differ between data sets: see
    ``configs/cifar100`` and ``configs/imagenet``.

    Args:
        teacher: See :class:`DistillHook`.
        alpha: Weight of sample confidence distillation, >= 0.
        beta: Weight of masked correlation distillation, >= 0.
        tau_scd: Temperature of sample confidence distillation, > 0.
        tau_mcd: Temperature of masked correlation distillation, > 0.
        loss_weight: Weight of the sum of both, >= 0, or 'auto'.
        standardize: Whether to standardise both logits first, see
            :class:`~mmkd_plugin.losses.RLDLoss`.
        pull: With ``loss_weight='auto'``, how hard the term shall pull,
            see :class:`.AutoWeight`; by default as hard as the task.
        **kwargs: The other arguments of :class:`DistillHook`.

    References:
        Sun et al., "Knowledge Distillation with Refined Logits", ICCV 2025,
        arXiv 2408.07703.
    """

    def __init__(
        self,
        teacher: dict,
        alpha: float = 1.0,
        beta: float = 0.25,
        tau_scd: float = 1.0,
        tau_mcd: float = 1.0,
        loss_weight: float | str = 1.0,
        standardize: bool = False,
        pull: float | None = None,
        **kwargs,
    ) -> None:
        loss = dict(
            type='RLDLoss',
            alpha=alpha,
            beta=beta,
            tau_scd=tau_scd,
            tau_mcd=tau_mcd,
            loss_weight=loss_weight,
            standardize=standardize,
        )
        if pull is not None:
            loss['pull'] = pull
        super().__init__(teacher, losses=dict(loss_rld=loss), **kwargs)
