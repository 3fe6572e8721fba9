# Refined Logit Distillation (arXiv 2408.07703). The paper has no detection
# experiment: alpha, beta and the temperatures are those that DKD uses on COCO,
# which RLD equals where the teacher is right. The warm-up, in epochs, is that
# of the paper's ImageNet settings.

distill = dict(
    type='RLDHook', alpha=1.0, beta=0.25, tau_scd=1.0, tau_mcd=1.0, warmup=1
)
