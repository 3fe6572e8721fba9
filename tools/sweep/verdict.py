"""The verdict on a run, by the rule that was written down before the runs.

Values at the end of the training are compared with those of the baseline,
seed by seed. A *gain* is a mean difference of at least `least`, with an
interval above 0 and a mean above that of every control; a *loss* is a mean
of at most -`least` with an interval below 0. Anything else is no difference
shown, and with fewer pairs than `seeds` nothing is said.
"""

import math
import re
from dataclasses import dataclass

GAIN = 'gain'
LOSS = 'loss'
NONE = 'no difference shown'
FEW = 'too few seeds'
# What there is no rule for, or no number.
OPEN = 'no verdict'
# Sums of decimal fractions are off by less.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Rule:
    """What a verdict on a metric asks for.

    Attributes:
        seeds (int): Pairs of equal seed.
        least (float): Size of the mean difference, in units of the metric.
    """

    seeds: int
    least: float


# Pattern of the metrics, of boxes in [0, 1] and of classes in percent.
RULES = {
    r'(.+/)?(bbox_)?(mAP|AP)': Rule(seeds=5, least=0.003),
    r'(.+/)?top1': Rule(seeds=3, least=0.5),
}


def rule_of(metric):
    """The rule for a metric.

    Args:
        metric (str): Its name, such as 'coco/bbox_mAP'.

    Returns:
        Rule | None: None if no rule was written for it.
    """
    for pattern, rule in RULES.items():
        if re.fullmatch(pattern, metric):
            return rule
    return None


def judge(metric, row, controls):
    """Judge one run.

    Args:
        metric (str): Name of the metric.
        row (dict): Of the run: ``last`` by seed and ``difference``, as
            ``sweep_report.collect`` returns them.
        controls (dict[str, dict]): ``last`` of each of its controls.

    Returns:
        dict | None: ``kind``, one of the words above, and ``reason``, a part
        of a sentence, which is empty after a gain or a loss; None for a run
        that is compared with none.
    """
    gain, rule = row['difference'], rule_of(metric)
    if gain is None:
        return None
    if rule is None:
        return _verdict(OPEN, f'there is no rule for {metric}')
    pairs, own = gain['values'], row['last']
    broken = [seed for seed in pairs if not math.isfinite(pairs[seed])]
    if broken:
        return _verdict(OPEN, f'{metric} is no number with seed {broken[0]}')
    if len(pairs) < rule.seeds:
        return _verdict(FEW, f'{len(pairs)} of {rule.seeds}')
    if abs(gain['mean']) < rule.least - ROUNDING:
        return _verdict(NONE, f'less than {rule.least:g} in the mean')
    if gain['mean'] < 0:
        if gain['high'] < 0:
            return _verdict(LOSS)
        return _verdict(NONE, 'the interval reaches above 0')
    if gain['low'] <= 0:
        return _verdict(NONE, 'the interval reaches below 0')
    for name, other in controls.items():
        shared = own.keys() & other
        if len(shared) < rule.seeds:
            return _verdict(
                FEW, f'{len(shared)} of {rule.seeds} of the control {name}'
            )
        lead = sum(own[seed] - other[seed] for seed in shared)
        if not lead > ROUNDING:
            return _verdict(NONE, f'not above the control {name}')
    return _verdict(GAIN)


def _verdict(kind, reason=''):
    return dict(kind=kind, reason=reason)
