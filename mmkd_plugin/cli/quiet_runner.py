"""A runner that keeps the terminal for what a user looks for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .foreign_messages import COCO_PRINTS, is_foreign, without_lines

# Begin of a record -> the method of MMEngine's Runner that logs it.
DUMPS = {
    'System environment:': '_log_env',
    'Config:': '_log_env',
    'Distributed training is not used, all SyncBatchNorm': 'wrap_model',
    'Hooks will be executed in the following order:': '__init__',
}
# Ours, of the lines that are left out.
PRINTED = 'Printed while the data sets were read:'


class QuietRunner(Runner):
    """MMEngine's runner, which writes its dumps into the log file alone.

    These are environment, config and the list of hooks.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, and leave the dumps out of the terminal."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_for_terminal)
        return logger


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config: its own ``runner_type``, or a quiet one.

    Args:
        cfg: Of a training or a test.
    """
    if cfg.get('runner_type'):
        return RUNNERS.build(cfg)
    return QuietRunner.from_cfg(cfg)


def _is_for_terminal(record: logging.LogRecord) -> bool:
    # Not `getMessage`, which fails if a user's arguments do not fit.
    text = str(record.msg).lstrip('\n-')
    if record.levelno == logging.INFO and text.startswith(PRINTED):
        return False
    is_dump = record.module == 'runner' and any(
        record.funcName == method and text.startswith(begin)
        for begin, method in DUMPS.items()
    )
    return not is_dump and not is_foreign(record)


@contextmanager
def reading_data(runner: Runner) -> Iterator[None]:
    """Put what pycocotools prints into the log file alone.

    After an error it is printed after all.
    """
    lines: list[str] = []
    try:
        with without_lines(COCO_PRINTS) as lines:
            yield
    except BaseException:
        for line in lines:
            print(line)
        raise
    if lines:
        runner.logger.info('\n'.join([PRINTED, *lines]))
