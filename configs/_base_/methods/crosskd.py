# CrossKD on the RoI head, as in the branch `faster-rcnn` of its authors'
# repository: the teacher's box head classifies and refines the student's RoIs
# once more, on the student's maps, and the results should match those on the
# teacher's maps. The gradient passes through the teacher's frozen head into
# the student's neck and backbone; the student's own head learns from the
# labels alone. The paper (arXiv 2306.11369) has CrossKD for one-stage
# detectors only, and its authors say that these settings are not finely tuned.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_kd=dict(
            type='KDLoss',
            tau=3.0,
            loss_weight=0.5,
            tap=dict(type='RoIHeadTap', crossed=True),
        ),
        loss_box=dict(
            type='BoxL1Loss',
            normalize='weights',
            loss_weight=1.0,
            tap=dict(type='RoIBoxTap', rows='confidence', crossed=True),
        ),
    ),
)
