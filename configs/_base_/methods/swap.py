# SWAP with the settings of its CIFAR-100 configs in the code of RLD (arXiv
# 2408.07703), which has no cross entropy: a teacher whose wrong prediction
# changes places with the label.

distill = dict(
    type='DistillHook',
    losses=dict(loss_swap=dict(type='SWAPLoss', tau=4.0)),
    task_loss=False,
)
