# RC with the settings of its CIFAR-100 configs in the code of RLD (arXiv
# 2408.07703): KD, and a tenth of a correction of the student by the label, in
# addition to the cross entropy.

distill = dict(
    type='DistillHook',
    losses=dict(loss_rc=dict(type='RCLoss', beta=0.1, tau=4.0)),
)
