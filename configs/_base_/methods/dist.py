# DIST, knowledge distillation from a stronger teacher (arXiv 2205.10536): the
# correlation of the classes of each RoI, and of the RoIs for each class, with
# the weights of its authors' COCO config.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_dist=dict(
            type='DISTLoss', beta=1.0, gamma=1.0, tau=1.0, loss_weight=1.0
        )
    ),
)
