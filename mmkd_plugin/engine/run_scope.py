"""Context managers around the loading and training of a run.

MMEngine has no hook stage after an error or Ctrl-C.  Therefore a hook's
``before_run`` replaces, on this runner and loop and for one call, the methods
that load and train.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager

from mmengine.runner.base_loop import BaseLoop

from ..checkpoints.unpickling import safe_loading
from .lost_rank import name_lost_rank

# From a runner to the context in which a method runs.
Context = Callable[..., AbstractContextManager]


def enclose(
    runner, training: Context | None = None, loading: Context | None = None
) -> None:
    """Make the next run of a runner load and train within contexts.

    Loading and training are always within
    :func:`~mmkd_plugin.checkpoints.unpickling.safe_loading`, and errors that
    another rank caused name that rank.

    Args:
        runner (Runner): In ``before_run``.
        training: Returns the context of the train loop.
        loading: Returns the context of ``init_cfg``, ``load_from`` and
            resuming.
    """
    for name in ('_init_model_weights', 'load_or_resume'):
        if hasattr(runner, name):
            _wrap_next_call(runner, name, runner, _always, loading)
    loop = runner._train_loop
    if isinstance(loop, BaseLoop):  # none yet where only `val` is called
        _wrap_next_call(loop, 'run', runner, _always, training)


@contextmanager
def _always(runner):
    with safe_loading(), name_lost_rank(runner):
        yield


def _wrap_next_call(
    owner, name: str, runner, *contexts: Context | None
) -> None:
    """Make the next call of a method run within contexts."""
    wanted = [context for context in contexts if context is not None]
    before = vars(owner).get(name)
    found = getattr(before, 'contexts', None)
    if found is not None:  # of another hook, or of a run that failed
        found += [context for context in wanted if context not in found]
        return

    def once(*args, **kwargs):
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
        with ExitStack() as stack:
            for each in once.contexts:  # type: ignore[attr-defined]
                stack.enter_context(each(runner))
            return getattr(owner, name)(*args, **kwargs)

    once.contexts = wanted  # type: ignore[attr-defined]
    setattr(owner, name, once)
