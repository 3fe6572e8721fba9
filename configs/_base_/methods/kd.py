# Knowledge distillation (arXiv 1503.02531): KL divergence between the class
# probabilities of teacher and student.

distill = dict(
    type='DistillHook',
    losses=dict(loss_kd=dict(type='KDLoss', tau=1.0, loss_weight=1.0)),
)
