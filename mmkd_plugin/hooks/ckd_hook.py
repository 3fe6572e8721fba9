"""Preset: distil by CKD."""

from mmengine.registry import HOOKS

from .distill_hook import DistillHook


@HOOKS.register_module()
class CKDHook(DistillHook):
    """Train with a teacher by sample-wise contrastive distillation.

    ``DistillHook`` with :class:`~mmkd_plugin.losses.CKDLoss` as ``loss_ckd``
    and a weight for detection.  The released weight 0.1 is used together with
    feature distillation; alone, its gradient in the logits is a hundredth of
    that of the cross entropy.  With 10 the two are about equal for any N, see
    ``docs/evidence.md``; ``tools/analysis_tools/weigh_terms.py`` measures it.

    Args:
        teacher: See :class:`DistillHook`.
        tau: Temperature, > 0.
        loss_weight: Weight of the term, >= 0, or 'auto'.
        gather: Whether the samples of all ranks are negatives,
            see :class:`~mmkd_plugin.losses.CKDLoss`.
        same_class_negatives: Whether samples of the anchor's class
            are negatives too.
        pull: With ``loss_weight='auto'``, how hard the term shall pull,
            see :class:`.AutoWeight`; by default as hard as the task.
        **kwargs: The other arguments of :class:`DistillHook`.

    References:
        Zhu et al., "CKD: Contrastive Knowledge Distillation from A
        Sample-wise Perspective", IEEE TIP 2025, arXiv 2404.14109.
    """

    def __init__(
        self,
        teacher: dict,
        tau: float = 1.0,
        loss_weight: float | str = 10.0,
        gather: bool = False,
        same_class_negatives: bool = True,
        pull: float | None = None,
        **kwargs,
    ) -> None:
        loss = dict(
            type='CKDLoss',
            tau=tau,
            loss_weight=loss_weight,
            gather=gather,
            same_class_negatives=same_class_negatives,
        )
        if pull is not None:
            loss['pull'] = pull
        super().__init__(teacher, losses=dict(loss_ckd=loss), **kwargs)
