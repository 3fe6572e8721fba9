# How a run behaves, for every task: what is logged and saved. Hooks that are
# not named here are MMEngine's defaults.

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
)
log_processor = dict(type='LogProcessor', window_size=50)

env_cfg = dict(
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
