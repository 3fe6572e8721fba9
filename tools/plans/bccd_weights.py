# How much of each term? Blood cells, the small Faster R-CNN, each method at
# several weights; CKD at two numbers of RoIs as well, with the student alone
# at both, to see how its weight goes with N. Compared on the validation
# images, which choose the weights; tools/plans/detection.py then uses others.
#
# First train the teacher, as configs/bccd/frcnn_r18w32.py says, then
#   python tools/sweep.py tools/plans/bccd_weights.py --jobs 2

seeds = [0, 1, 2]
metric = 'coco/bbox_mAP'
baseline = 'student'

# 8 images of 64 RoIs, 512 rows, half of them foreground at most.
few = {'model.train_cfg.rcnn.sampler.num': 16}
runs = dict(
    student=dict(config='configs/bccd/frcnn_r18w8.py'),
    student_few=dict(config='configs/bccd/frcnn_r18w8.py', cfg_options=few),
)
for method, weights in dict(
    kd=(1, 3, 10), dkd=(1, 3, 10), rld=(1, 3, 10), ckd=(0.1, 1, 3, 10, 30)
).items():
    option = 'loss_weight'
    if method in ('kd', 'dkd'):
        option = f'losses.loss_{method}.loss_weight'
    for weight in weights:
        config = f'configs/bccd/frcnn_r18w32_r18w8_{method}.py'
        settings = {f'custom_hooks.0.{option}': weight}
        runs[f'{method}_{weight}'] = dict(config=config, cfg_options=settings)
        if method == 'ckd' and weight >= 3:
            runs[f'{method}_{weight}_few'] = dict(
                config=config,
                cfg_options={**settings, **few},
                baseline='student_few',
            )
