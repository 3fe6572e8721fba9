"""What a trained model predicts on validation images; kept in a file."""

import json
from contextlib import suppress

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from torch.utils.data import Subset

from mmkd_plugin.checkpoints.atomic import write_text
from mmkd_plugin.checkpoints.reading import load_strictly, read_checkpoint
from mmkd_plugin.cli.progress import track
from mmkd_plugin.datasets.class_names import names_of
from mmkd_plugin.model_config import model_of
from mmkd_plugin.reports.detections import evaluate
from mmkd_plugin.reports.samples import read_detections, read_truth
from mmkd_plugin.reports.threshold import FALLBACK, best_threshold

from .validation import Unusable, checkpoint_of, dataset_of, read_config

# A larger validation set is represented by evenly spaced images.
MOST_IMAGES = dict(detection=500, classification=10000)
# Of the file, so that one of another version is made anew.
VERSION = 2


def predict(folder):
    """Predict with the last checkpoint of a training, once.

    Args:
        folder (Path): That of the training; the result is kept there in
            predictions.json for as long as the checkpoint is the same.

    Returns:
        dict: ``task``, 'detection' or 'classification'; ``total`` images, of
        which ``images`` were used (their indices); ``score``, mAP or percent
        of right labels; ``classes``, the same by class, None for one without
        images; and by image, in the same order,

        * detection: ``truth`` and ``found``, as in COCO's files, ``found``
          with a score of at least ``threshold``, with which F1 is highest;
        * classification: ``truth`` and ``found``, labels, and ``trust``, the
          probability of the true label.

    Raises:
        Unusable: If there is no checkpoint or no prediction of either kind.
    """
    checkpoint = checkpoint_of(folder)
    time = checkpoint.stat().st_mtime_ns
    key = [VERSION, checkpoint.name, time, MOST_IMAGES]
    path = folder / 'predictions.json'
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads(path.read_text())
        if kept['key'] == key:
            return kept
    print(f'Predicting with {checkpoint} ...', flush=True)
    found = dict(key=key, **_predict(read_config(folder), checkpoint))
    text = json.dumps(found)
    write_text(path, text + '\n')
    return json.loads(text)


@torch.no_grad()
def _predict(cfg, checkpoint):
    device = get_device()
    model = model_of(cfg).eval()
    state, _ = read_checkpoint(str(checkpoint))
    load_strictly(model, state, str(checkpoint), 'student')
    model.to(device)
    dataset = dataset_of(cfg)
    total = len(dataset)
    first = next(iter(_load(cfg, dataset, [0])))
    kind = _kind(model.val_step(first)[0])
    indices = spread(total, MOST_IMAGES[kind])
    read = dict(detection=_detect, classification=_classify)[kind]
    samples = (
        sample
        for batch in track(_load(cfg, dataset, indices), 'predicting')
        for sample in model.val_step(batch)
    )
    return dict(
        task=kind,
        total=total,
        images=indices,
        **read(dataset, indices, samples),
    )


def spread(total, most):
    """Evenly spaced indices.

    Args:
        total (int): How many there are.
        most (int): How many to take at most.

    Returns:
        list[int]: All, or `most` of them, the first and the last included.
    """
    if total <= most:
        return [*range(total)]
    return np.linspace(0, total - 1, most).round().astype(int).tolist()


def _load(cfg, dataset, indices):
    """A loader of some images in their order."""
    loader = {
        key: value
        for key, value in cfg.val_dataloader.items()
        if key in ('batch_size', 'collate_fn')
    }
    return Runner.build_dataloader(
        dict(
            dataset=Subset(dataset, indices),
            sampler=dict(type='DefaultSampler', shuffle=False),
            num_workers=0,
            **loader,
        )
    )


def _kind(sample):
    """What a prediction is."""
    if 'pred_instances' in sample:
        return 'detection'
    label = getattr(sample, 'gt_label', None)
    if 'pred_score' in sample and label is not None and label.numel() == 1:
        return 'classification'
    raise Unusable(
        'their predictions are neither boxes nor one label for each image'
    )


def _detect(dataset, indices, samples):
    classes = names_of(dataset, 'val')
    everything = read_truth(dataset, classes, indices)
    ids = [image['id'] for image in everything['images']]
    truth, good = ({one: [] for one in ids} for _ in range(2))
    found = []
    for sample in samples:
        found += read_detections(sample)
    result = evaluate(everything, found)
    for item in everything['annotations']:
        if not item['iscrowd']:
            truth[item['image_id']].append(item)
    for item in found:
        good[item['image_id']].append(item)
    threshold = best_threshold((truth[one], good[one]) for one in ids)
    if threshold is None:
        threshold = FALLBACK
    return dict(
        score=result['mAP'],
        classes=result['classes'],
        threshold=threshold,
        truth=[*truth.values()],
        found=[
            [item for item in items if item['score'] >= threshold]
            for items in good.values()
        ],
    )


def _classify(dataset, indices, samples):
    truth, found, trust = [], [], []
    for sample in samples:
        label = int(sample.gt_label)
        truth.append(label)
        found.append(int(sample.pred_score.argmax()))
        trust.append(float(sample.pred_score[label]))
    right = np.equal(truth, found)
    names = names_of(dataset, 'val') or [*range(max(truth + found) + 1)]
    classes = {}
    for label, name in enumerate(map(str, names)):
        own = np.equal(truth, label)
        classes[name] = 100 * float(right[own].mean()) if own.any() else None
    return dict(
        score=100 * float(right.mean()),
        classes=classes,
        truth=truth,
        found=found,
        trust=trust,
    )
