# DIST, knowledge distillation from a stronger teacher (arXiv 2205.10536): the
# correlation of the classes of each RoI, and of the RoIs for each class. The
# weights are those of MMRazor's ImageNet config; those of the paper's COCO
# experiments are not in its released code.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_dist=dict(
            type='DISTLoss', beta=2.0, gamma=2.0, tau=1.0, loss_weight=1.0
        )
    ),
)
