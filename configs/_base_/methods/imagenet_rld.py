# Refined Logit Distillation (arXiv 2408.07703) with the settings of its
# ImageNet experiments.

distill = dict(
    type='RLDHook', alpha=1.0, beta=0.5, tau_scd=1.0, tau_mcd=1.0, warmup=1
)

pairs = dict(resnet50_mobilenetv1=dict(distill=dict(beta=2.0)))
