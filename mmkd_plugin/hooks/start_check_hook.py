"""Checks before the first step of any training."""

from mmengine.dataset import DefaultSampler
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from ..checkpoints.first_weights import check_first_weights
from ..engine.run_scope import enclose
from ..engine.scheduler_length import misfits
from ..exceptions import MMKDValueError


@HOOKS.register_module()
class StartCheckHook(Hook):
    """Refuse a training without the pretrained weights, or without a step.

    * ``load_from`` and ``init_cfg`` of type ``Pretrained`` must fill at least
      half of the backbone; the log says how many entries they filled.
    * There must be at least one epoch, and a batch on every rank.
    * The log warns of schedulers that are made for another length.

    ``tools/train.py`` and every distillation hook add it.
    """

    # After the hooks that copy the model, and before CheckpointHook saves.
    priority = 'LOW'

    def before_run(self, runner) -> None:
        """Check the length of the training, and what is loaded.

        Raises:
            FileNotFoundError, ValueError: If a check fails.
        """
        if runner._train_loop is None or isinstance(runner._train_loop, dict):
            return  # a test or a validation
        _check_length(runner.train_loop)
        for misfit in misfits(runner.param_schedulers, runner.train_loop):
            runner.logger.warning(
                f'{misfit}: change `param_scheduler` along with `train_cfg`, '
                'if that is not meant.'
            )
        enclose(runner, loading=check_first_weights)

    def after_train_epoch(self, runner, metrics=None) -> None:
        """Refuse to save a model that was not trained.

        A batch sampler may give fewer batches than its length, such as one
        that groups images by shape and drops incomplete batches.

        Raises:
            ValueError: If there was no iteration.
        """
        if runner.iter == 0:
            raise MMKDValueError(
                'The first epoch had no iteration, because the loader gave '
                f'no batch (it announced {len(runner.train_dataloader)}): '
                'make `batch_size` of `train_dataloader` smaller, or set '
                '`drop_last=False`.'
            )


def _check_length(loop) -> None:
    """Refuse a loop without iterations, on all ranks."""
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    name = 'max_epochs' if by_epoch else 'max_iters'
    if getattr(loop, name, 1) <= 0:
        raise MMKDValueError(
            f'Expected `{name}` of `train_cfg` to be at least 1 but got '
            f'{getattr(loop, name)}: nothing would be trained.'
        )
    loader = loop.dataloader
    try:
        length, images = len(loader), len(loader.dataset)
    except TypeError:
        return  # a stream
    batches = loader.batch_sampler
    sampler = getattr(batches, 'sampler', None)
    # Other samplers may be infinite, whatever their length.
    endless = not by_epoch and not isinstance(sampler, DefaultSampler)
    lengths = all_gather_object(1 if endless and images else length)
    if 0 not in lengths:
        return
    drops = ' with `drop_last=True`' * getattr(batches, 'drop_last', False)
    raise MMKDValueError(
        f'There is no batch to train on, on rank {lengths.index(0)}: the '
        f'train data have {images} images, and `batch_size` is '
        f'{getattr(batches, "batch_size", loader.batch_size)}{drops}; make '
        '`batch_size` of `train_dataloader` smaller, set `drop_last=False`, '
        'or add images.'
    )
