"""Finding what is wrong with the data before the first step.

The libraries leave out boxes of categories that they do not know, number
labels by the annotation file, take boxes as they are told, and compare with
whatever file the evaluator names: none of this with a word.  Here it is
counted and said: by an error where training would stop later or learn, or
measure, something wrong; by a warning in the log where single entries are
left out.
"""

from .cause import find_cause
from .check import check_data, check_dataset

__all__ = ['check_data', 'check_dataset', 'find_cause']
