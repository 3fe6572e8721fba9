"""What a method changed, image by image and class by class."""

from . import pictures
from .plots import MOST, plot_classes
from .predictions import predict
from .validation import Unusable

MOST_CLASSES = 20
UNITS = dict(detection='AP (%)', classification='accuracy (%)')
# The own value of a run, and how far another evaluation may be from it.
CHECKED = {'coco/bbox_mAP': 0.01, 'accuracy/top1': 0.1}


def make_examples(data, baseline):
    """Compare the methods of a group with its baseline, with one seed.

    Args:
        data (Data): The sweep.
        baseline (str): The baseline of the group.

    Returns:
        dict: ``sentences`` on what is shown and what is not; and, if there
        are checkpoints, ``seed``, ``method`` (the best one), ``improved`` and
        ``harmed`` (see :func:`pictures.draw`), ``counts``, ``colors``, the
        ``thresholds`` of baseline and method, ``figure`` and ``classes``, a
        table.
    """
    ranked = data.ranked(baseline)
    if not ranked:
        return dict(sentences=['No method has finished a common seed.'])
    seed = min(data.rows[ranked[0]]['difference']['values'])
    found, sentences = {}, []
    for name in data.drawn(baseline, MOST):
        if name not in (baseline, *ranked) or seed not in data.logs[name]:
            continue
        try:
            found[name] = predict(data.plan.runs[name].folder(data.out, seed))
        except Exception as error:  # of a model, a data set or a file
            sentences.append(f'{name} is not shown: {_sentence(error)}.')
            continue
        sentences += _check(data, name, seed, found[name])
    if baseline not in found or len(found) < 2:
        return dict(sentences=[*sentences, 'So there is nothing to compare.'])
    own = found[baseline]
    for name in [*found]:
        if any(found[name][k] != own[k] for k in ('task', 'images', 'truth')):
            del found[name]
            sentences.append(
                f'{name} is not shown: it was validated on other images.'
            )
    method = next((name for name in ranked if name in found), None)
    if method is None:
        return dict(sentences=[*sentences, 'So there is nothing to compare.'])
    count, total = len(own['images']), own['total']
    some = f'{count} evenly spaced of' if count < total else 'all'
    sentences.insert(
        0,
        f'One seed ({seed}), on {some} {total} validation images, with the '
        'last checkpoints.',
    )
    result = dict(
        sentences=sentences,
        seed=seed,
        method=method,
        task=own['task'],
        thresholds=[
            found[name].get('threshold') for name in (baseline, method)
        ],
        **_classes(found, method, baseline, data.drawn(baseline, MOST)),
    )
    try:
        result |= _pictures(data, baseline, method, seed, found)
    except Exception as error:  # of a data set or a file
        sentences.append(f'There are no pictures: {_sentence(error)}.')
    return result


def _sentence(error):
    """An error as the end of a sentence."""
    text = ' '.join(str(error).split()).rstrip('.')
    if isinstance(error, Unusable):
        return text
    return f'{type(error).__name__}: {text}' if text else type(error).__name__


def _check(data, name, seed, found):
    """Say so if what is shown is not what was measured in the training."""
    limit = CHECKED.get(data.plan.metric)
    if limit is None or len(found['images']) < found['total']:
        return []
    logged = data.rows[name]['last'][seed]
    if abs(found['score'] - logged) <= limit:
        return []
    return [
        f'{name}: the checkpoint gives {found["score"]:.4g} here, but '
        f'{data.plan.metric} was {logged:.4g} in the training.'
    ]


def _pictures(data, baseline, method, seed, found):
    models = {name: found[name] for name in (baseline, method)}
    chosen = pictures.choose(*models.values())
    folder = data.plan.runs[baseline].folder(data.out, seed)
    order = [*chosen['improved'], *chosen['harmed']]
    drawn, colors = pictures.draw(folder, models, order)
    first = len(chosen['improved'])
    return dict(
        improved=drawn[:first],
        harmed=drawn[first:],
        counts=chosen['counts'],
        colors=colors,
    )


def _classes(found, method, baseline, order):
    """The figure and the table of classes."""
    scale = 100 if found[baseline]['task'] == 'detection' else 1
    values = {
        name: {
            one: scale * value
            for one, value in predictions['classes'].items()
            if value is not None
        }
        for name, predictions in found.items()
    }
    known = [*values[baseline]]
    shown = sorted(
        known,
        key=lambda one: -abs(values[method][one] - values[baseline][one]),
    )[:MOST_CLASSES]
    figure = plot_classes(
        {
            name: {one: own[one] for one in known if one in shown}
            for name, own in values.items()
        },
        UNITS[found[baseline]['task']],
        order,
    )
    table = [
        [one, *(f'{own[one]:.1f}' for own in values.values())] for one in known
    ]
    return dict(
        figure=figure,
        classes=table,
        columns=[*values],
        shown=len(shown),
        unit=UNITS[found[baseline]['task']],
    )
