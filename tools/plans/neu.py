# Does it help, and how much of each term? Steel surfaces, the small Faster
# R-CNN. Each method is tried at several weights with two seeds; at the weight
# that does best, with five, beside the student alone, CKD and RLD together,
# and a control that should not help: the teacher's logits in random order.
#
# First train the teacher, as configs/neu/frcnn_r18w32.py says, then
#   python tools/sweep.py tools/plans/neu.py --jobs 2

seeds = [0, 1]
metric = 'coco/bbox_mAP'
baseline = 'student'

weights = dict(kd=(1, 3, 10), dkd=(1, 3, 10), rld=(1, 3, 10), ckd=(3, 10, 30))
best = dict()
all_seeds = [0, 1, 2, 3, 4]
runs = dict(student=dict(config='configs/neu/frcnn_r18w8.py', seeds=all_seeds))
for method, values in weights.items():
    option = 'custom_hooks.0.loss_weight'
    if method in ('kd', 'dkd'):
        option = f'custom_hooks.0.losses.loss_{method}.loss_weight'
    for value in values:
        runs[f'{method}_{value}'] = dict(
            config=f'configs/neu/frcnn_r18w32_r18w8_{method}.py',
            cfg_options={option: value},
            seeds=all_seeds if best.get(method) == value else seeds,
        )
