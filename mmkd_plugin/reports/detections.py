"""Evaluation of detections: IoU, matching, average precision.

Boxes, annotations and detections are as in COCO: [x, y, width, height] in
pixels; dicts with `image_id`, `category_id`, `bbox` and, for detections,
`score`.
"""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np

METRICS = ('mAP', 'AP50', 'AP75')


def iou(box, boxes):
    """Intersection over union of one box with others.

    Returns:
        np.ndarray: (M,) for M boxes.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(np.add(box[:2], box[2:]), boxes[:, :2] + boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / (box[2] * box[3] + boxes[:, 2:].prod(1) - shared)


def match(truth, detections):
    """Decide which detections are right.

    Args:
        truth (list[dict]): Annotations of one image.
        detections (list[dict]): Detections in it.

    Returns:
        tuple[list[bool], list[bool]]: For each detection, by descending
        score, whether it has the class of an unmatched annotation with
        IoU >= 0.5; for each annotation, whether it was matched.
    """
    taken = [False] * len(truth)
    right = []
    for found in by_score(detections):
        overlap = iou(found['bbox'], [t['bbox'] for t in truth])
        fits = [
            i
            for i in np.argsort(-overlap)
            if overlap[i] >= 0.5
            and not taken[i]
            and truth[i]['category_id'] == found['category_id']
        ]
        right.append(bool(fits))
        if fits:
            taken[fits[0]] = True
    return right, taken


def verdicts(truth, detections):
    """Pair what is to be drawn of an image with how it was judged.

    Args:
        truth (list[dict]): Its annotations.
        detections (list[dict]): Detections in it.

    Returns:
        list[tuple[dict, str]]: Annotations that are 'missed', then
        detections that are 'right' or 'wrong', by descending score.
    """
    right, taken = match(truth, detections)
    missed = [item for item, hit in zip(truth, taken) if not hit]
    return [(item, 'missed') for item in missed] + [
        (item, 'right' if good else 'wrong')
        for item, good in zip(by_score(detections), right)
    ]


def by_score(detections):
    """Detections by descending score."""
    return sorted(detections, key=lambda found: -found['score'])


def f1(right, taken):
    """F1, the harmonic mean of precision and recall, from :func:`match`.

    Returns:
        float: In [0, 1]; 1 without annotations and detections.
    """
    total = len(right) + len(taken)
    return 2 * sum(right) / total if total else 1.0


def evaluate(truth, detections):
    """Score detections with pycocotools.

    Args:
        truth (dict): Content of a COCO file: `images`, `annotations` and
            `categories`.
        detections (list[dict]): Detections.

    Returns:
        dict: mAP, AP50 and AP75 in [0, 1], 0 without detections, and
        `classes`: mAP by class name, None without annotations.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = [category['name'] for category in truth['categories']]
    if not detections:
        there = {item['category_id'] for item in truth['annotations']}
        return dict(
            dict.fromkeys(METRICS, 0.0),
            classes={
                category['name']: 0.0 if category['id'] in there else None
                for category in truth['categories']
            },
        )
    with redirect_stdout(StringIO()):
        coco = COCO()
        coco.dataset = {'info': {}, **truth}
        coco.createIndex()
        # Copied, because pycocotools writes into them.
        found = coco.loadRes([dict(found) for found in detections])
        scorer = COCOeval(coco, found, 'bbox')
        scorer.params.catIds = [c['id'] for c in truth['categories']]
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    # IoU, recall, class, all areas, 100 detections; -1 without annotations.
    precision = scorer.eval['precision'][:, :, :, 0, -1]
    means = [
        float(values.mean()) if (values > -1).all() else None
        for values in np.moveaxis(precision, 2, 0)
    ]
    return dict(
        zip(METRICS, map(float, scorer.stats[:3])),
        classes=dict(zip(names, means)),
    )
