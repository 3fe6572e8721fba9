# How a run behaves: what is imported, logged, saved and drawn. Hooks that are
# not named here are MMEngine's defaults.

default_scope = 'mmdet'
custom_imports = dict(imports=['mmkd_plugin'], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=3,
        save_best='coco/bbox_mAP',
    ),
    visualization=dict(type='DetVisualizationHook'),
)
log_processor = dict(type='LogProcessor', window_size=50)
visualizer = dict(
    type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)

env_cfg = dict(
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
