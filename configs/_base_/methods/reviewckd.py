# ReviewKD (arXiv 2104.09044) beside CKD (arXiv 2404.14109), as CKD's authors
# train Faster R-CNN R101 -> R50 on MS COCO. Channels are those of an FPN with
# its five levels. The weight of ReviewKD depends on the pair and on the scale
# of the teacher's maps, see docs/methods/reviewkd.md.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_ckd=dict(type='CKDLoss', tau=1.0, loss_weight=0.1),
        loss_reviewkd=dict(
            type='ReviewKDLoss',
            student_channels=[256] * 5,
            teacher_channels=[256] * 5,
            loss_weight=1.0,
        ),
    ),
)
