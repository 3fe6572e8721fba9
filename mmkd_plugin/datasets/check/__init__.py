"""Checks of the data before the first step.

The libraries silently drop boxes of unknown categories, number labels by the
annotation file, trust all boxes, and evaluate with whatever file the
evaluator names.  Here this is reported: as an error where training would stop
later, or would learn or measure something wrong; as a warning in the log
where single entries are left out.
"""

from .cause import find_cause
from .check import check_data, check_dataset

__all__ = ['check_data', 'check_dataset', 'find_cause']
