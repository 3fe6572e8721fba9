# Contrastive Knowledge Distillation from a sample-wise perspective
# (arXiv 2404.14109) with the settings of its released ImageNet configs, which
# have twice the epochs of the other methods. The negatives of an image are the
# others on its GPU; with `gather=True` in the hook, those on all GPUs.

distill = dict(type='CKDHook', tau=1.0, loss_weight=10.0)

train_cfg = dict(max_epochs=200)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=200)]
