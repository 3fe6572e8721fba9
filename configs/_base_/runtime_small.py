# How a run of minutes behaves: it logs often and keeps its last epoch, from
# which a killed run goes on.

_base_ = './runtime_det.py'

default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(max_keep_ckpts=1, save_best=None),
)
randomness = dict(seed=0)
