"""Continue after an interruption as if there had been none."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError

from mmengine.dist import (
    barrier,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from ..checkpoints.atomic import BACKEND_ARGS, atomic_backend
from ..checkpoints.made_with import note_origin
from ..engine.finite import refuse_nonfinite
from ..engine.lost_rank import exchange_identities
from ..engine.run_scope import enclose
from ..exceptions import MMKDValueError
from .last_checkpoint import last_named, name_last, repair_last
from .late_removal import LateRemoval
from .loading import sampler_of, shielded_workers, skip_batches
from .randomness import SeededSamples, seed_by
from .readable import refuse_unreadable
from .resume_check import check_resumable, run_problem
from .run_data import sanitize_run_data
from .stop_request import StopRequest

STOPPED = 'stopped.pth'
# Exit code that a shell reports for a process ended by SIGTERM.
EXIT_CODE = 128 + signal.SIGTERM


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Resume a killed or preempted run exactly.

    With ``resume=True``, an interrupted run ends with the weights of an
    uninterrupted one:

    * The random numbers of an iteration, and under ``EpochBasedTrainLoop``
      those of a sample, depend only on the seed and the position in the
      training.
    * An interrupted validation is repeated.
    * An old checkpoint is removed after the new one is complete. A damaged or
      missing one is replaced by the newest complete one of the run.
    * A checkpoint without the complete state of this training is refused
      before anything changes. No checkpoint is written that would be refused,
      or whose weights are not finite.
    * On SIGTERM the run saves ``stopped.pth`` after the current iteration and
      ends with exit code 143. Resuming skips the batches of the epoch that
      were already trained on.

    A checkpoint has a few additional numbers under ``exact_resume``.
    """

    # After CheckpointHook has saved.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        """Reset the state, for another training with the same hook."""
        self._request = StopRequest()
        self._samples: SeededSamples | None = None
        self._backends: list[LateRemoval] = []
        self._whole_loader = None
        self._batches_seen = 0
        self._first_iter = 0
        self._has_saved = False
        self._saved_at: tuple | None = None
        self._is_stopping = False
        self._kept: dict | None = None

    def before_run(self, runner) -> None:
        """Make an automatic resume find a complete checkpoint.

        Raises:
            ValueError: If ``last_checkpoint`` names one and none is complete,
                one is refused, or there is another hook of this class.
        """
        if sum(isinstance(hook, ExactResumeHook) for hook in runner.hooks) > 1:
            raise MMKDValueError(
                '`custom_hooks` of the config has several ExactResumeHook: '
                'keep one.'
            )
        exchange_identities(runner)
        self._reset()
        enclose(runner, self._training, self._loading)
        if not runner._resume or runner._load_from is not None:
            return
        result: list = [None, None]
        if is_main_process():
            try:
                result[0] = repair_last(
                    runner.work_dir, lambda saved: run_problem(runner, saved)
                )
            except (ValueError, OSError, UnpicklingError) as error:
                result[1] = str(error)
        broadcast_object_list(result)
        message, problem = result
        if problem:
            raise MMKDValueError(problem)
        if message:
            runner.logger.warning(message)

    @contextmanager
    def _loading(self, runner) -> Iterator[None]:
        """Check a checkpoint before any hook, or the model, loads it."""
        call_hook = runner.call_hook

        def check_first(fn_name: str, **kwargs) -> None:
            if fn_name == 'after_load_checkpoint' and runner._resume:
                file = runner._load_from or last_named(runner.work_dir)
                check_resumable(runner, kwargs['checkpoint'], str(file))
            call_hook(fn_name, **kwargs)

        runner.call_hook = check_first
        try:
            yield
        finally:
            del runner.call_hook

    @contextmanager
    def _training(self, runner) -> Iterator[None]:
        """Change data loading and saving during the training only."""
        loop, dataset = runner.train_loop, runner.train_dataloader.dataset
        loaders = [loop.dataloader]
        if runner.val_loop is not None:
            loaders.append(runner.val_loop.dataloader)
        savers = [h for h in runner.hooks if isinstance(h, CheckpointHook)]
        before = [dict(vars(hook)) for hook in savers]
        with ExitStack() as stack:
            stack.enter_context(atomic_backend())
            for loader in loaders:
                stack.enter_context(shielded_workers(loader))
            for hook in savers:
                if _saves_here(hook):
                    hook.backend_args = dict(BACKEND_ARGS)
            try:
                yield
            finally:
                self._request.release()
                for hook, kept in zip(savers, before):
                    hook.backend_args = kept['backend_args']
                    vars(hook).pop('file_backend', None)
                    if 'file_backend' in kept:
                        hook.file_backend = kept['file_backend']
                if vars(dataset).get('__getitems__') is self._samples:
                    vars(dataset).pop('__getitems__', None)
                loop.dataloader = loaders[0]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read what :meth:`before_save_checkpoint` has added."""
        if runner._resume:
            sanitize_run_data(runner, checkpoint, runner._load_from)
            self._kept = checkpoint.get('exact_resume', {})

    def before_train(self, runner) -> None:
        """Prepare data loading, saving and stopping; restore the state."""
        loader = runner.train_dataloader
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._samples = SeededSamples(loader.dataset, runner.seed)
            loader.dataset.__getitems__ = self._samples
            _warn_of_accumulation(runner)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook.file_backend = LateRemoval(hook.file_backend)
                self._backends.append(hook.file_backend)
                # Without it MMEngine loses the best score of a repeated
                # validation.
                hook.last_ckpt = runner.message_hub.get_info('last_ckpt')
        self._request.listen()
        self._first_iter = runner.iter
        refuse_unreadable(_small_parts(runner))
        if self._kept is not None:
            if self._is_complete(runner):
                runner.logger.warning(
                    'Nothing is left to train: the checkpoint was saved at '
                    'the end that `train_cfg` sets.'
                )
            self._restore(runner, self._kept)
            self._kept = None

    def before_train_epoch(self, runner) -> None:
        """Skip the batches of a resumed epoch that were already trained on."""
        self._first_iter = runner.iter - self._batches_seen
        if self._samples is not None:
            self._samples.epoch.fill_(runner.epoch)
        if self._batches_seen:
            loop = runner.train_loop
            self._whole_loader = loop.dataloader
            loop.dataloader = skip_batches(loop.dataloader, self._batches_seen)

    def before_train_iter(
        self, runner, batch_idx: int, data_batch=None
    ) -> None:
        """Seed the iteration."""
        seed_by('iteration', runner.seed, get_rank(), runner.iter)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Stop, if a rank got SIGTERM and no accumulated gradient is lost."""
        self._remove_old(runner)
        if self._request.ask() and runner.optim_wrapper.should_update():
            self._stop(runner, runner.iter + 1)
            barrier()
            raise SystemExit(EXIT_CODE)

    def after_train_epoch(self, runner) -> None:
        """Restore the loader after a resumed epoch."""
        self._remove_old(runner)
        self._first_iter = runner.iter
        if self._batches_seen:
            runner.train_loop.dataloader = self._whole_loader
            self._batches_seen = 0

    def before_val_epoch(self, runner) -> None:
        """Seed the validation; read the stop request of before it."""
        self._request.read()
        seed_by('validation', runner.seed, get_rank(), runner.iter)

    def after_val_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Stop within a validation, on each rank independently.

        The ranks cannot communicate here, because one may have more batches
        than another; and only the main rank saves.
        """
        if self._request.is_known:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # swaps the weights back
            self._stop(runner, runner.iter)
            raise SystemExit(EXIT_CODE)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Remove a best checkpoint that was replaced."""
        self._remove_old(runner)

    def after_train(self, runner) -> None:
        """Wait for the last all-reduce, so that no rank hangs in it."""
        self._request.read()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add versions, and the position in the training, in plain numbers.

        Raises:
            RuntimeError: If weights are not finite.
            ValueError: If resuming would refuse the checkpoint.
        """
        note_origin(checkpoint)
        refuse_nonfinite(runner, checkpoint)
        refuse_unreadable(checkpoint)
        self._has_saved = True
        if 'optimizer' not in checkpoint:
            return  # a best checkpoint, not made for resuming
        meta = checkpoint['meta']
        self._saved_at = (meta['epoch'], meta['iter'])
        at_end = meta['epoch'] > runner.epoch
        in_validation = runner.message_hub.get_info('loop_stage') == 'val'
        loader = runner.train_dataloader
        checkpoint['exact_resume'] = dict(
            batches_seen=0 if at_end else meta['iter'] - self._first_iter,
            batches=len(loader) + self._batches_seen,
            world_size=get_world_size(),
            sampler_seed=getattr(sampler_of(loader), 'seed', None),
            validated=in_validation and not self._is_stopping,
        )

    def _restore(self, runner, kept: dict) -> None:
        """Continue at the position of a checkpoint."""
        if not kept:
            runner.logger.warning(
                'The checkpoint was saved without ExactResumeHook: training '
                'goes on from it, but draws other random numbers than '
                'without the interruption.'
            )
            return
        if runner._load_from is None:
            self._saved_at = (runner.epoch, runner.iter)
        loader = runner.train_dataloader
        if kept['sampler_seed'] is not None:
            sampler_of(loader).seed = kept['sampler_seed']
        place = f'iteration {runner.iter}'
        if self._samples is not None:
            place = f'epoch {runner.epoch}'
            self._batches_seen = kept['batches_seen']
            now = (len(loader), get_world_size())
            before = (kept['batches'], kept['world_size'])
            if self._batches_seen and now != before:
                runner.logger.warning(
                    f'{self._batches_seen} batches of epoch '
                    f'{runner.epoch + 1} have been seen, of {before[0]} on '
                    f'{before[1]} ranks, but '
                    f'now there are {now[0]} on {now[1]}: the epoch starts '
                    'anew.'
                )
                self._batches_seen = 0
            if self._batches_seen:
                place = (
                    f'batch {self._batches_seen} of {now[0]} in epoch '
                    f'{runner.epoch + 1}'
                )
        runner.logger.info(f'Going on after {place}.')
        if not kept['validated'] and self._is_validation_due(runner):
            runner.logger.info('Making up for its validation.')
            runner.val_loop.run()

    def _is_complete(self, runner) -> bool:
        if self._samples is not None:
            return runner.epoch >= runner.max_epochs
        return runner.iter >= runner.max_iters

    def _is_validation_due(self, runner) -> bool:
        """Whether the loop validates at this position."""
        loop = runner.train_loop
        if runner.val_loop is None or self._batches_seen:
            return False
        now, last = runner.iter, runner.max_iters
        if self._samples is not None:
            now, last = runner.epoch, runner.max_epochs
        loop._decide_current_val_interval()
        return now >= loop.val_begin and (
            now % loop.val_interval == 0 or now == last
        )

    def _stop(self, runner, iteration: int) -> None:
        """Save, unless this position is saved already, and log it."""
        if is_main_process() and self._saved_at != (runner.epoch, iteration):
            self._is_stopping = True
            runner.save_checkpoint(
                runner.work_dir,
                STOPPED,
                meta=dict(epoch=runner.epoch, iter=iteration),
                by_epoch=False,
                backend_args=BACKEND_ARGS,
            )
            name_last(runner.work_dir, Path(runner.work_dir, STOPPED))
        runner.logger.warning(
            f'Stopped by SIGTERM after iteration {iteration} of '
            f'{runner.max_iters}. {last_named(runner.work_dir)} holds all of '
            'it: --resume goes on from there.'
        )
        self._request.release()

    def _remove_old(self, runner) -> None:
        """Remove old checkpoints after a new one was saved."""
        if not self._has_saved:
            return
        self._has_saved = False
        info = runner.message_hub.runtime_info
        keep = {path for path in info.values() if isinstance(path, str)}
        for backend in self._backends:
            backend.remove_marked(keep)
        stopped = Path(runner.work_dir, STOPPED)
        if last_named(runner.work_dir) != str(stopped):
            stopped.unlink(missing_ok=True)


def _warn_of_accumulation(runner) -> None:
    """Warn that a checkpoint lacks gradients that are being accumulated."""
    steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    batches = len(runner.train_dataloader)
    if batches % steps:
        runner.logger.warning(
            f'`accumulative_counts={steps}` does not divide the {batches} '
            'batches of an epoch: a checkpoint at its end lacks the '
            'gradients accumulated so far, so a resumed run will differ a '
            'little from an uninterrupted one.'
        )


def _saves_here(hook: CheckpointHook) -> bool:
    """Whether a hook saves locally with MMEngine's default backend."""
    return (
        hook.backend_args is None
        and hook.file_client_args is None
        and '://' not in str(hook.out_dir or '')
    )


def _small_parts(runner) -> dict:
    """The content of a checkpoint except for the weights."""
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        schedulers = sum(schedulers.values(), [])
    return dict(
        meta=dict(
            experiment_name=runner.experiment_name,
            seed=runner.seed,
            dataset_meta=getattr(
                runner.train_dataloader.dataset, 'metainfo', None
            ),
        ),
        message_hub=runner.message_hub.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        param_schedulers=[one.state_dict() for one in schedulers or ()],
    )
