"""Distillation set up wrongly on purpose: what a comparison must tell apart.

A plan names them in ``custom_imports.imports`` as ``plans.controls``, which
tools/train.py finds beside itself.
"""

import torch
from mmengine.registry import TASK_UTILS
from torch.nn import functional as F

from mmkd_plugin.taps import RoIHeadTap


@TASK_UTILS.register_module()
class ShuffledRoIHeadTap(RoIHeadTap):
    """The teacher's logits in random order: right as a set, wrong for each.

    What still helps the student then, such as softer targets or another
    learning rate, is not what the teacher sees in a RoI.
    """

    def teacher_logits(self, teacher, features, record):
        logits = super().teacher_logits(teacher, features, record)
        return logits[torch.randperm(len(logits), device=logits.device)]


@TASK_UTILS.register_module()
class OwnRoIHeadTap(RoIHeadTap):
    """The teacher on its own proposals, paired with the student's RoIs.

    Of each image the teacher's best proposals, as many as the student has
    RoIs there: row i of both then belongs to different boxes.
    """

    def teacher_features(self, teacher, inputs):
        features = teacher.extract_feat(inputs)
        meta = dict(img_shape=inputs.shape[-2:], scale_factor=(1.0, 1.0))
        proposals = teacher.rpn_head.predict_by_feat(
            *teacher.rpn_head([x.float() for x in features]),
            batch_img_metas=[meta] * len(inputs),
            cfg=teacher.test_cfg.rpn,
        )
        return features, proposals

    def teacher_logits(self, teacher, features, record):
        features, proposals = features
        rois = record.rois.detach().clone()
        for index, found in enumerate(proposals):
            rows = (rois[:, 0] == index).nonzero().squeeze(1)
            boxes = F.pad(found.bboxes, (1, 0), value=index)
            rois[rows] = boxes[torch.arange(len(rows)) % len(boxes)]
        return super().teacher_logits(
            teacher, features, record._replace(rois=rois)
        )
