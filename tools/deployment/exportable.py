"""Detectors and classifiers built from operations that ONNX has.

The libraries take decisions in Python for each image, such as skipping a level
of the pyramid that has no RoIs; tracing would freeze them as they were for one
image. Here every image takes the same path.

B images of H x W pixels, K classes, N boxes.
"""

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms, roi_align


class ExportableClassifier(nn.Module):
    """An image classifier of MMPretrain, its preprocessing included.

    Args:
        model (nn.Module): An ``ImageClassifier`` with one softmax.
    """

    outputs = ('scores',)
    dynamic_axes = dict(images={0: 'batch'}, scores={0: 'batch'})

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, K) of images (B, 3, H, W) as loaded, in [0, 255]."""
        images = preprocess(self.model.data_preprocessor, images)
        return self.model(images, mode='tensor').softmax(-1)


class ExportableDetector(nn.Module):
    """A Faster R-CNN of MMDetection, its preprocessing included.

    Args:
        model (nn.Module): A detector with an ``RPNHead`` and a
            ``StandardRoIHead``. Masks are left out.

    Raises:
        SystemExit: If the model, or its NMS, is of another kind.
    """

    outputs = ('boxes', 'scores', 'labels')
    dynamic_axes = {name: {0: 'boxes'} for name in outputs}

    def __init__(self, model):
        super().__init__()
        heads = [
            type(getattr(model, name, None)).__name__
            for name in ('rpn_head', 'roi_head')
        ]
        if heads != ['RPNHead', 'StandardRoIHead']:
            raise SystemExit(
                f'error: {type(model).__name__} has as rpn_head and roi_head '
                f'{" and ".join(heads)}: expected RPNHead and '
                'StandardRoIHead; no other can be exported.'
            )
        for stage in ('rpn', 'rcnn'):
            settings = dict(model.test_cfg[stage].nms)
            if settings.keys() != {'type', 'iou_threshold'} or (
                settings['type'] != 'nms'
            ):
                raise SystemExit(
                    f'error: Expected `test_cfg.{stage}.nms` to be '
                    f"dict(type='nms', iou_threshold=...) but got {settings}: "
                    'change it, or use the model in PyTorch.'
                )
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find objects.

        Args:
            images (Tensor): One image (1, 3, H, W) as loaded, in [0, 255].

        Returns:
            tuple[Tensor, Tensor, Tensor]: Boxes (N, 4), x1, y1, x2, y2 in
            pixels of the input; scores (N,), best first; labels (N,).
        """
        shape = [int(side) for side in images.shape[-2:]]
        images = preprocess(self.model.data_preprocessor, images)
        features = self.model.extract_feat(images)
        proposals = self._propose(features, shape)
        return self._classify(features, proposals, shape)

    def _propose(self, features, shape):
        head, cfg = self.model.rpn_head, self.model.test_cfg.rpn
        maps, offset_maps = head(features)
        anchors = head.prior_generator.grid_priors(
            [logits.shape[-2:] for logits in maps], device=maps[0].device
        )
        boxes, scores, levels = [], [], []
        for level, anchor in enumerate(anchors):
            logits = _as_rows(maps[level], head.cls_out_channels)
            offsets = _as_rows(offset_maps[level], 4)
            score = (
                logits.sigmoid()
                if head.use_sigmoid_cls
                else logits.softmax(-1)[:, :-1]
            )[:, 0]
            # Not topk, which orders equal scores differently.
            score, best = score.sort(descending=True)
            if cfg.nms_pre > 0:
                score, best = score[: cfg.nms_pre], best[: cfg.nms_pre]
            boxes.append(
                _decode(head.bbox_coder, anchor[best], offsets[best], shape)
            )
            scores.append(score)
            levels.append(torch.full_like(score, level))
        boxes, scores, levels = map(torch.cat, (boxes, scores, levels))
        if cfg.get('min_bbox_size', -1) >= 0:
            sides = boxes[:, 2:] - boxes[:, :2]
            large = (sides > cfg.min_bbox_size).all(1).nonzero()[:, 0]
            boxes, scores, levels = boxes[large], scores[large], levels[large]
        kept = _nms(boxes, scores, levels, cfg.nms.iou_threshold)
        return boxes[kept[: cfg.max_per_img]]

    def _classify(self, features, proposals, shape):
        head, cfg = self.model.roi_head, self.model.test_cfg.rcnn
        pooled = _pool(head.bbox_roi_extractor, features, proposals)
        if head.with_shared_head:
            pooled = head.shared_head(pooled)
        head = head.bbox_head
        logits, offsets = head(pooled)
        ways = 1 if head.reg_class_agnostic else head.num_classes
        boxes = _decode(
            head.bbox_coder,
            proposals[:, None].expand(-1, ways, 4).reshape(-1, 4),
            offsets.reshape(-1, 4),
            shape,
        )
        boxes = boxes.reshape(-1, ways, 4).expand(-1, head.num_classes, 4)
        scores = logits.softmax(-1)[:, :-1]
        rows, labels = (scores > cfg.score_thr).nonzero().unbind(1)
        boxes, scores = boxes[rows, labels], scores[rows, labels]
        kept = _nms(boxes, scores, labels, cfg.nms.iou_threshold)
        kept = kept[: cfg.max_per_img]
        return boxes[kept], scores[kept], labels[kept]


def preprocess(preprocessor: nn.Module, images: Tensor) -> Tensor:
    """Preprocess images (B, 3, H, W) as a data preprocessor does.

    Args:
        preprocessor (nn.Module): Of MMDetection or MMPretrain.
        images (Tensor): As loaded, in [0, 255].

    Returns:
        Tensor: Normalised, and padded at the right and the bottom.
    """
    images = images.float()
    # The attribute of MMDetection, and of MMPretrain.
    if getattr(preprocessor, '_channel_conversion', False) or getattr(
        preprocessor, 'to_rgb', False
    ):
        images = images.flip(1)
    if preprocessor._enable_normalize:
        images = (images - preprocessor.mean) / preprocessor.std
    divisor = preprocessor.pad_size_divisor
    down, right = (-int(side) % divisor for side in images.shape[-2:])
    return F.pad(images, (0, right, 0, down), value=preprocessor.pad_value)


def _as_rows(maps, channels):
    """Maps (1, A * channels, H, W) as rows (H * W * A, channels)."""
    return maps[0].permute(1, 2, 0).reshape(-1, channels)


def _decode(coder, anchors, offsets, shape):
    """Boxes (N, 4), clipped to the image."""
    # The coder's own clipping fails during export: it imports a module that
    # MMDetection 3 no longer has.
    boxes = coder.decode(anchors, offsets)
    height, width = shape
    border = boxes.new_tensor([width, height, width, height])
    return boxes.clamp(min=0).minimum(border)


def _nms(boxes, scores, groups, iou_threshold):
    """Indices of the boxes that NMS within each group keeps, best first."""
    # Groups are shifted apart as in mmcv, for the same rounding; the zero is
    # for images without boxes.
    furthest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()
    shift = groups.to(boxes) * (furthest + 1)
    return nms(boxes + shift[:, None], scores, iou_threshold)


def _pool(extractor, features, boxes):
    """RoIAlign of boxes (N, 4), each on its own level of the pyramid."""
    rois = F.pad(boxes, (1, 0))
    levels = extractor.map_roi_levels(rois, extractor.num_inputs)
    pooled, rows = [], []
    for level, layer in enumerate(extractor.roi_layers):
        rows.append((levels == level).nonzero()[:, 0])
        pooled.append(
            roi_align(
                features[level],
                rois[rows[-1]],
                layer.output_size,
                layer.spatial_scale,
                layer.sampling_ratio,
                layer.aligned,
            )
        )
    return torch.cat(pooled)[torch.cat(rows).argsort()]
