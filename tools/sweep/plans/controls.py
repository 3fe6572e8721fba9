"""Controls: distillation set up wrongly on purpose.

A plan in this folder names this module in ``custom_imports.imports``.
"""

import torch
from mmengine.registry import TASK_UTILS
from torch.nn import functional as F

from mmkd_plugin.taps import FeatureTap, RoIBoxTap, RoIHeadTap
from mmkd_plugin.taps.roi.roi_heads import OnRoIs


def change(found, of_reading):
    """What a tap gives, with each reading changed.

    Args:
        found: A reading, a list of the stages of a cascade, or None.
        of_reading (Callable): Takes a reading and returns another.
    """
    if isinstance(found, list):
        return [
            stage._replace(reading=of_reading(stage.reading))
            for stage in found
        ]
    return None if found is None else of_reading(found)


@TASK_UTILS.register_module()
class ShuffledRoIHeadTap(RoIHeadTap):
    """The teacher's logits in random order: each belongs to another RoI.

    What still helps the student then, such as softer targets or another
    effective learning rate, is not the teacher's knowledge of the RoI.
    """

    def take(self, teacher):
        return change(super().take(teacher), self._shuffle)

    @staticmethod
    def _shuffle(reading):
        logits = reading.teacher
        order = torch.randperm(len(logits), device=logits.device)
        return reading._replace(teacher=logits[order])


@TASK_UTILS.register_module()
class ShuffledRoIBoxTap(RoIBoxTap):
    """The teacher's deltas in random order, among the RoIs that count."""

    def take(self, teacher):
        return change(super().take(teacher), self._shuffle)

    @staticmethod
    def _shuffle(reading):
        rows = reading.weights.nonzero()[:, 0]
        order = rows[torch.randperm(len(rows), device=rows.device)]
        deltas = reading.teacher.clone()
        deltas[rows] = reading.teacher[order]
        return reading._replace(teacher=deltas)


@TASK_UTILS.register_module()
class ShuffledFeatureTap(FeatureTap):
    """The teacher's maps of each image given to the next one."""

    def __init__(self, levels=('p2', 'p3', 'p4', 'p5'), **kwargs):
        super().__init__(levels=levels, **kwargs)

    def take(self, teacher):
        reading = super().take(teacher)
        if reading is None:
            return None
        maps = tuple(maps.roll(1, 0) for maps in reading.teacher)
        return reading._replace(teacher=maps)


@TASK_UTILS.register_module()
class OwnRoIHeadTap(RoIHeadTap):
    """The teacher on its own proposals, paired with the student's RoIs.

    For each image the teacher's best proposals, as many as the student has
    RoIs there: row i of both logits then belongs to different boxes.
    """

    def take(self, teacher):
        return super().take(teacher and OnOwnProposals(teacher))


class OnOwnProposals:
    """A teacher that replaces the RoIs in a request by its own proposals."""

    def __init__(self, teacher):
        self.teacher = teacher

    def logits(self, ask, pick):
        return self.teacher.logits(OnProposals(ask), pick)


class OnProposals:
    """A detector's box head on its proposals, as many per image as RoIs.

    Args:
        ask (OnRoIs): On the RoIs of the student.
    """

    def __init__(self, ask):
        self.rois, self.images, self.stage = ask.rois, ask.images, ask.stage

    def __call__(self, model, features):
        """Logits and deltas of the proposals, see :class:`OnRoIs`."""
        stride = model.rpn_head.prior_generator.strides[0][0]
        shape = tuple(size * stride for size in features[0].shape[-2:])
        meta = dict(img_shape=shape, scale_factor=(1.0, 1.0))
        proposals = model.rpn_head.predict_by_feat(
            *model.rpn_head([x.float() for x in features]),
            batch_img_metas=[meta] * self.images,
            cfg=model.test_cfg.rpn,
        )
        rois = self.rois.detach().clone()
        for index, found in enumerate(proposals):
            own = (rois[:, 0] == index).nonzero().squeeze(1)
            boxes = F.pad(found.bboxes, (1, 0), value=index)
            rois[own] = boxes[torch.arange(len(own)) % len(boxes)]
        return OnRoIs(rois, self.images, self.stage)(model, features)
