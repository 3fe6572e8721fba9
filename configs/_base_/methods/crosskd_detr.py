# CrossKD for Deformable DETR and DINO, as in the configs `teaquery` of the
# branch `deformable-detr` of its authors' repository, which no paper
# describes: each layer of the teacher's decoder runs a second time, on the
# student's encoded maps, and the results should match those on the teacher's
# maps. The gradient passes through the teacher's frozen decoder into encoder,
# neck and backbone of the student; the student's own decoder learns from the
# labels alone. The authors sum over six decoder layers, each with a weight of
# 1; here the losses are means over the layers, hence 6.

distill = dict(
    type='DistillHook',
    losses=dict(
        loss_binarykd=dict(
            type='BinaryKDLoss',
            tau=1.0,
            loss_weight=6.0,
            tap=dict(type='DETRHeadTap', crossed=True),
        ),
        loss_box=dict(
            type='BoxL1Loss',
            normalize='weights',
            loss_weight=6.0,
            tap=dict(type='DETRBoxTap', crossed=True, pixels=True),
        ),
    ),
)
