"""The sentences at the top of the page: what has been shown."""

from sweep_numbers import digits_of, number
from verdict import FEW, GAIN, LOSS, NONE, OPEN

# In the order in which they are told.
KINDS = {
    GAIN: 'is better than',
    LOSS: 'is worse than',
    NONE: 'is not shown to differ from',
    FEW: 'has too few seeds to be compared with',
    OPEN: 'cannot be judged against',
}


def make_headline(data):
    """Say what the sweep has shown.

    Args:
        data (Data): The sweep.

    Returns:
        list[dict]: A sentence for every method: its ``kind``, the ``text``
        in front of the numbers, the ``detail`` and its ``name``. Gains come
        first, the largest of them at the top; controls are left out.
    """
    found = []
    for baseline in data.groups:
        for name in data.ranked(baseline):
            kind = data.rows[name]['verdict']['kind']
            found.append(
                dict(
                    name=name,
                    kind=kind,
                    text=f'{KINDS[kind]} {baseline}',
                    detail=_detail(data, data.rows[name]),
                )
            )
    return sorted(found, key=lambda line: [*KINDS].index(line['kind']))


def make_title(headline, data):
    """The answer in one sentence.

    Args:
        headline (list[dict]): As of :func:`make_headline`.
        data (Data): The sweep.

    Returns:
        str: The sentence.
    """
    if not data.groups:
        return 'The plan names no baseline, so nothing is compared.'
    if not headline:
        return 'No method has finished a seed that its baseline has, too.'
    if len(headline) == 1:
        line = headline[0]
        return f'{line["name"]} {line["text"]}.'
    names = {
        kind: [line['name'] for line in headline if line['kind'] == kind]
        for kind in KINDS
    }
    if len(data.groups) == 1:
        other = next(iter(data.groups))
        better, worse = _listed(names[GAIN]), _listed(names[LOSS])
    else:
        other, better, worse = 'the baseline', None, None
    parts = []
    for kind, told in ((GAIN, better), (LOSS, worse)):
        count = len(names[kind])
        verb = 'is' if count == 1 else 'are'
        word = 'better' if kind == GAIN else 'worse'
        who = told or f'{count} of {len(headline)} methods'
        if count:
            parts.append(f'{who} {verb} {word}')
    if parts:
        return f'{" and ".join(parts)} than {other}.'
    if len(names[FEW]) == len(headline):
        return f'Too few seeds to say whether a method beats {other}.'
    return f'No method is shown to be better or worse than {other}.'


def _listed(names):
    """Names as a part of a sentence; None if they are too many."""
    if len(names) > 3:
        return None
    *most, last = names or ['']
    return f'{", ".join(most)} and {last}' if most else last


def _detail(data, row):
    """Difference, interval and seeds; and why the verdict is none."""
    gain, digits = row['difference'], digits_of(data.rows)
    text = f'{number(gain["mean"], digits, "+")} {data.plan.metric}'
    if gain['low'] is not None:
        low, high = (number(gain[k], digits, '+') for k in ('low', 'high'))
        text += f', 95 % interval {low} to {high}'
    reason = row['verdict']['reason']
    if row['verdict']['kind'] == FEW:
        return f'{text}, seeds: {reason}'
    text += f', {len(gain["values"])} seeds'
    return f'{text}: {reason}' if reason else text
