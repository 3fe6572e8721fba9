"""What is logged in addition to the terms."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..exceptions import MMKDValueError


def log_name(prefix: str, what: str, term: str) -> str:
    """How a number about a term is logged, such as kd_gap_ckd of loss_ckd.

    Args:
        prefix: Of all such names.
        what: The number is.
        term: Name of the term.
    """
    return f'{prefix}_{what}_{term.replace("loss", "").strip("_")}'


@contextmanager
def asked(loss: nn.Module) -> Iterator[list[dict[str, Tensor]]]:
    """Ask a loss for its diagnostics.

    A loss that has some has an attribute ``diagnostics``, None for as long as
    nobody asks.  Asked, each call appends its own to that list: detached
    scalars by name.

    Yields:
        Those of each call; empty for other losses.
    """
    found: list[dict[str, Tensor]] = []
    if not hasattr(loss, 'diagnostics'):
        yield found
        return
    holder: Any = loss
    holder.diagnostics = found
    try:
        yield found
    finally:
        del holder.diagnostics


def named(
    found: Mapping[str, Tensor], prefix: str, term: str
) -> dict[str, Tensor]:
    """Diagnostics of a loss under their names in the log.

    Args:
        found: By their own names.
        prefix, term: See :func:`log_name`.

    Raises:
        ValueError: If MMEngine would back-propagate one.
    """
    for what in found:
        if 'loss' in what:
            raise MMKDValueError(
                f"Expected no diagnostic with 'loss' in its name but {term} "
                f'gives {what!r}, which MMEngine would back-propagate: give '
                'it another name in the class of the loss.'
            )
    return {log_name(prefix, what, term): found[what] for what in found}


def leave_out_old(
    scalars: MutableMapping[str, Any],
    names: Sequence[str],
    logged: Mapping[str, Any],
) -> None:
    """Take out of the log what this step has no value for.

    Otherwise the log would repeat the last value.

    Args:
        scalars: Name to history, of MMEngine's message hub; changed.
        names: Of diagnostics.
        logged: What this step has logged; NaN is no value.
    """
    for name in names:
        history = scalars.get(f'train/{name}')
        if history is None:
            continue
        value = history.current()
        if name not in logged or value != value:
            del scalars[f'train/{name}']
