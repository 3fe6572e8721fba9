# SWAP with the settings of its CIFAR-100 configs in the code of RLD (arXiv
# 2408.07703), without the cross entropy: where the teacher is wrong, the
# logits of its prediction and of the label are exchanged.

distill = dict(
    type='DistillHook',
    losses=dict(loss_swap=dict(type='SWAPLoss', tau=4.0)),
    task_loss=False,
)
