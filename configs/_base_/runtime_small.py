# How a run of minutes behaves: it logs often and keeps its last weights.

_base_ = './runtime_det.py'

default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=-1, save_best=None)
)
randomness = dict(seed=0)
