"""Preset: distil by RLD."""

from mmengine.registry import HOOKS

from .distill_hook import DistillHook


@HOOKS.register_module()
class RLDHook(DistillHook):
    """Train with a teacher by refined logit distillation.

    ``DistillHook`` with :class:`~mmkd_plugin.losses.RLDLoss` as ``loss_rld``.
    The paper has no detection experiment; the defaults are those of DKD for
    detection, which RLD equals where the teacher is right.

    Args:
        teacher (dict): See :class:`DistillHook`.
        alpha (float): Weight of sample confidence distillation, >= 0.
        beta (float): Weight of masked correlation distillation, >= 0.
        tau_scd (float, optional): Temperature of the first, > 0, used as
            given. None: 1, or 2 with ``standardize``.
        tau_mcd (float, optional): Temperature of the second, > 0, used as
            given. None: 1, or 2 with ``standardize``.
        loss_weight (float): Weight of the sum of both, >= 0.
        standardize (bool): Whether both logits are first standardised;
            ``alpha`` and ``beta`` are then multiplied by 9. See
            :class:`~mmkd_plugin.losses.RLDLoss`.
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
        tau_scd: float | None = None,
        tau_mcd: float | None = None,
        loss_weight: float = 1.0,
        standardize: bool = False,
        **kwargs,
    ) -> None:
        # None lets the loss choose, as it does for standardised logits.
        tau = None if standardize else 1.0
        loss = dict(
            type='RLDLoss',
            alpha=alpha,
            beta=beta,
            tau_scd=tau if tau_scd is None else tau_scd,
            tau_mcd=tau if tau_mcd is None else tau_mcd,
            loss_weight=loss_weight,
            standardize=standardize,
        )
        super().__init__(teacher, losses=dict(loss_rld=loss), **kwargs)
