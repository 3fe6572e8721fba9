# Contrastive Knowledge Distillation from a sample-wise perspective (arXiv
# 2404.14109), with the temperature of its released COCO configs. Their weight
# of 0.1 is for use together with a loss of features; alone it pulls at the
# logits only a hundredth as strongly as the cross entropy, see
# docs/evidence.md.

distill = dict(type='CKDHook', tau=1.0, loss_weight=10.0)
