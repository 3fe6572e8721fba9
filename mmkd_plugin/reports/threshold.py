"""The score above which the detections of a model are best, by F1."""

from .detections import by_score, match

# For a model of which no detection is right, whatever the threshold.
FALLBACK = 0.5


def best_threshold(images):
    """Find the threshold with which F1 over a set of images is highest.

    F1 is 2 R / (D + A): D detections have a score of at least the threshold,
    R of them are right, and A objects are annotated. A detection is judged
    by :func:`~mmkd_plugin.reports.detections.match`, for which those with
    lower scores do not matter, so one pass judges all thresholds.

    Args:
        images (Iterable[tuple[list[dict], list[dict]]]): Annotations and
            detections of each image.

    Returns:
        float | None: Of the best thresholds one with the fewest detections,
        the number with the fewest digits, at least two, that separates them
        from the next; None if no detection is right.
    """
    marks, annotated = [], 0
    for truth, found in images:
        annotated += len(truth)
        right, _ = match(truth, found)
        scores = (item['score'] for item in by_score(found))
        marks += zip(scores, right)
    marks.sort(key=lambda mark: -mark[0])
    best, threshold, hits = 0.0, None, 0
    for count, (score, is_right) in enumerate(marks, 1):
        hits += is_right
        below = marks[count][0] if count < len(marks) else -1.0
        value = 2 * hits / (count + annotated)
        # No threshold separates equal scores.
        if below < score and value > best:
            best, threshold = value, _between(below, score)
    return threshold


def _between(below, score):
    """The shortest number t of two digits or more, below < t <= score."""
    for digits in range(2, 17):
        number = round(score, digits)
        if number > score:
            number = round(number - 10**-digits, digits)
        if number > below:
            return number
    return score
