# Contrastive Knowledge Distillation from a sample-wise perspective
# (arXiv 2404.14109): the weight and temperature of its released COCO configs.

distill = dict(type='CKDHook', tau=1.0, loss_weight=0.1)
