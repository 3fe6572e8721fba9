"""What holds while a run loads and trains, and ends however that ends.

MMEngine has no stage for hooks after an error or Ctrl-C.  So a hook's
``before_run`` shadows, on this runner and loop and for one call, the methods
that load and train.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager

from mmengine.runner.base_loop import BaseLoop

from ..unpickling import safe_loading
from .lost_rank import name_lost_rank

# Of a runner: makes what a method shall run in.
Context = Callable[..., AbstractContextManager]


def enclose(runner, training: Context, loading: Context | None = None) -> None:
    """Have the coming run of a runner load and train within contexts.

    Loading and training are always within
    :func:`~mmkd_plugin.unpickling.safe_loading`, and errors that another
    rank caused name it.

    Args:
        runner (Runner): In ``before_run``.
        training (Callable): Makes the context of the train loop.
        loading (Callable, optional): Makes the one of ``load_from`` and
            resuming.
    """
    for name in ('_init_model_weights', 'load_or_resume'):
        if hasattr(runner, name):
            _shadow(runner, name, runner, _always)
    if loading is not None:
        _shadow(runner, 'load_or_resume', runner, loading)
    loop = runner._train_loop
    if isinstance(loop, BaseLoop):  # none yet where only `val` is called
        _shadow(loop, 'run', runner, _always)
        _shadow(loop, 'run', runner, training)


@contextmanager
def _always(runner):
    with safe_loading(), name_lost_rank(runner):
        yield


def _shadow(owner, name: str, runner, context: Context) -> None:
    """Have the next call of a method run in a context."""
    before = vars(owner).get(name)
    contexts = getattr(before, 'contexts', None)
    if contexts is not None:  # of another hook, or of a run that failed
        if context not in contexts:
            contexts.append(context)
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

    once.contexts = [context]  # type: ignore[attr-defined]
    setattr(owner, name, once)
