# For runs of minutes: log often, and keep the last epoch, from which a killed
# run is resumed.

_base_ = './runtime_det.py'

default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(max_keep_ckpts=1, save_best=None),
)
randomness = dict(seed=0)
