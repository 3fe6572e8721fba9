# How the run of a classifier behaves. Another seed is given with
# --cfg-options randomness.seed=1

_base_ = './runtime.py'

default_scope = 'mmpretrain'

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)

randomness = dict(seed=0)
