"""What is likely to help a student, from how it and its teacher differ.

A rule of thumb drawn from the cases in :data:`CASES`; no law.
"""

from typing import NamedTuple

# Leads of the teacher below these showed nothing in the cases.
LEAST_LEAD = 0.03  # of the metric
LEAST_KNOWLEDGE = 0.05  # of the foreground, see Difference
LEAST_PLACES = 0.02  # of the mean IoU


class Difference(NamedTuple):
    """How much better a teacher is on validation images.

    Attributes:
        lead: Of the metric, mAP or accuracy as a fraction.
        knowledge: Share of the foreground RoIs, or of the images, that the
            teacher alone classifies rightly, less the share that the student
            alone does; None if it cannot be told.
        places: How much higher the mean IoU of the teacher's boxes is on the
            same foreground RoIs; None if there are none.
    """

    lead: float
    knowledge: float | None
    places: float | None


class Case(NamedTuple):
    """What was measured on a data set; the tables are in docs/evidence.md."""

    name: str
    difference: Difference
    gains: str


# One line each, from this command's own output.
CASES = ()


def case_rows():
    """The measured cases as rows of a table, with a header."""
    header = ['measured', 'lead', 'known', 'IoU', 'what helped']
    return [header] + [
        [
            case.name,
            *(f'{value:+.3f}' for value in case.difference),
            case.gains,
        ]
        for case in CASES
    ]


def forecast(found):
    """What is likely to help, and why, in one sentence.

    Args:
        found (Difference): Of teacher and student.

    Returns:
        str: A sentence that begins with 'Nothing', 'Logits', 'Maps' and so
        on.
    """
    if found.lead < LEAST_LEAD:
        return (
            f'Nothing is likely to help: the teacher leads by {found.lead:.3f}'
            f', less than {LEAST_LEAD}.'
        )
    if found.knowledge is None:
        return (
            f'Something may help, for the teacher leads by {found.lead:.3f}; '
            'what cannot be told, because this head has no RoIs on which to '
            'compare both.'
        )
    classes = found.knowledge >= LEAST_KNOWLEDGE
    places = (found.places or 0) >= LEAST_PLACES
    known = f'{100 * found.knowledge:+.0f} % of the foreground'
    if found.places is None:
        known = f'{100 * found.knowledge:+.0f} % of the images'
        if classes:
            return (
                f'Logits are likely to help: the teacher knows {known} more.'
            )
        return (
            f'Little is likely to help: the teacher knows only {known} more.'
        )
    better = f'its boxes are better by {found.places:+.3f} in IoU'
    if classes and places:
        return (
            'Maps and crossed heads (PKD, CrossKD) are likely to help most, '
            f'and logits too: the teacher knows {known} more, and {better}.'
        )
    if classes:
        return (
            'Logits (CKD, RLD) and the crossed head (CrossKD) are likely to '
            f'help, and maps are not: the teacher knows {known} more, but '
            f'{better} only.'
        )
    if places:
        return (
            'Maps and boxes (PKD, CrossKD, Box) may help, and logits are not '
            f'likely to: {better}, but the teacher knows only {known} more.'
        )
    return (
        f'It is not clear that anything helps: the teacher leads by '
        f'{found.lead:.3f}, but knows only {known} more, and {better} only.'
    )
