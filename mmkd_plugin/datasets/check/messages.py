"""Helpers for the messages of the checks."""

from reprlib import Repr

from mmengine.logging import MMLogger

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxdict = _SHORT.maxlist = 6
# Warnings that were already written to each log.
_SAID: set = set()


def short(value: object) -> str:
    """The repr of a value, shortened."""
    return _SHORT.repr(value)


def warn(sentence: str) -> None:
    """Write a warning to the log of the run, once."""
    logger = MMLogger.get_current_instance()
    if (logger.instance_name, sentence) not in _SAID:
        _SAID.add((logger.instance_name, sentence))
        logger.warning(sentence)
