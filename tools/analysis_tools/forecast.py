"""What is likely to help a student, from how it and its teacher differ.

A rule of thumb drawn from the cases in :data:`CASES`; no law.
"""

from typing import NamedTuple

# Where the teacher leads by less, nothing was shown to help.
LEAST_LEAD = 0.05  # of the metric
LEAST_KNOWLEDGE = 0.05  # of the foreground, see Difference


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


# One line each, from this command's own output, seed 0.
CASES = (
    Case('plants', Difference(0.227, 0.234, 0.039), 'CrossKD, CKD, RLD'),
    Case('steel, 12 epochs', Difference(0.068, 0.115, 0.023), 'PKD, CrossKD'),
    Case('blood cells', Difference(0.044, -0.028, 0.040), 'nothing'),
)


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
        str: A sentence.
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
    if found.places is None:
        known = f'knows {100 * found.knowledge:+.0f} % of the images more'
        if classes:
            return f'Logits are likely to help: the teacher {known}.'
        return f'Little is likely to help: the teacher only {known}.'
    known = f'knows {100 * found.knowledge:+.0f} % of the foreground more'
    better = f'makes boxes that are better by {found.places:+.3f} in IoU'
    if classes:
        return (
            'The crossed head (CrossKD) is likely to help, and logits (CKD, '
            f'RLD) may: the teacher {known}, and {better}.'
        )
    return (
        'Logits are not likely to help, and of boxes and maps (CrossKD, PKD, '
        f'Box) it is not known: the teacher {known}, but {better}.'
    )
