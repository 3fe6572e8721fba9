# Refined Logit Distillation (arXiv 2408.07703) with the settings of its
# CIFAR-100 experiments, one for all pairs.

distill = dict(
    type='RLDHook', alpha=1.0, beta=8.0, tau_scd=4.0, tau_mcd=4.0, warmup=20
)
