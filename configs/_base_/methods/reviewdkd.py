# ReviewKD (arXiv 2104.09044) beside DKD (arXiv 2203.08679), with the settings
# of the configs that CKD's authors release for Faster R-CNN R101 -> R50 on MS
# COCO. The weight of ReviewKD depends on the pair of models: configs of other
# pairs change it. The schedule is that of the student alone; DKD's own has
# 180,000 steps of 8 images.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_dkd=dict(
            type='DKDLoss', alpha=1.0, beta=0.25, tau=1.0, loss_weight=1.0
        ),
        loss_reviewkd=dict(
            type='ReviewKDLoss',
            student_channels=[256] * 5,
            teacher_channels=[256] * 5,
            loss_weight=1.0,
        ),
    ),
)
