# ReviewKD (arXiv 2104.09044) alone, as its authors train Faster R-CNN R101 ->
# R50 on MS COCO. The weight depends on the pair of models: configs of other
# pairs change it. The schedule is that of the student alone; the authors' own
# has 180,000 steps of 8 images.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_reviewkd=dict(
            type='ReviewKDLoss',
            student_channels=[256] * 5,
            teacher_channels=[256] * 5,
            loss_weight=1.0,
        ),
    ),
)
