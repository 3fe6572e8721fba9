"""A teacher that answers from a file, and computes only what is not there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from ...datasets.replayable import replayable
from ...exceptions import MMKDRuntimeError, MMKDTypeError, MMKDValueError
from ..teacher import Teacher
from .manifest import check, preprocessing, to_text, versions
from .store import Store, create

# Kernels round in another way for a few images, so at least so many are
# computed.  With 16, PyTorch's for CPUs gave the bits of a batch of 64.
FEWEST = 16
# Rows that are computed again at the start.
CHECKED = 8
# Largest difference by rounding, relative to the largest logit, for a teacher
# in float32 or less; that of other images or weights is about 1.
ROUNDING, HALF_ROUNDING = 1e-3, 5e-2


class CachedTeacher:
    """Answers of a teacher, each computed once and kept in a folder.

    The logits are kept as the teacher gives them, in float32.  It runs in the
    precision of `teacher.precision`; 'same' is float32 here, so that the
    logits do not depend on the student.

    Args:
        teacher: Prepared for the student, with its model and a ``cache``.
        student: The model in training, not wrapped.
        data: The training data, see
            :func:`~mmkd_plugin.datasets.replayable.replayable`.
        ask: The question whose answer is kept, see :meth:`.Teacher.answer`.
        columns: Logits of an answer.

    Raises:
        TypeError: If the data cannot tell which picture is which.
        ValueError: If the student's preprocessor mixes images, or the folder
            holds logits of something else, or is damaged.
        OSError: If the folder cannot be made, or there is no place for it.
    """

    def __init__(
        self,
        teacher: Teacher,
        student: nn.Module,
        data: Any,
        ask: Callable,
        columns: int,
    ) -> None:
        refuse_mixing(student.data_preprocessor)
        self.teacher = teacher
        self._ask = ask
        self._data = data = replayable(data)
        self._variants = data.variants
        self._preprocessor: Any = student.data_preprocessor
        if teacher.speed.dtype is None:
            teacher.speed.dtype = torch.float32
        rows = len(data) * self._variants
        manifest = dict(
            **data.identity(),
            **teacher.identity,
            classes=teacher.classes and list(teacher.classes),
            preprocessing=preprocessing(teacher.model.data_preprocessor),
            student_preprocessing=preprocessing(self._preprocessor),
            input_size=teacher.input_size,
            precision=str(teacher.speed.dtype),
            versions=versions(),
            rows=rows,
            columns=columns,
            dtype='float32',
        )
        folder = Path(str(teacher.cache)).expanduser().absolute()
        create(folder, rows, columns, to_text(manifest))
        check(folder, manifest)
        self.store = Store(folder, rows, columns)
        self._logits: Tensor | None = None

    @property
    def missing(self) -> Tensor | None:
        """See :class:`.Teacher`."""
        return self.teacher.missing

    @property
    def known(self) -> Tensor | None:
        """See :class:`.Teacher`."""
        return self.teacher.known

    @torch.no_grad()
    def verify(self) -> str:
        """Compute a few kept rows again; free the teacher if all are there.

        Returns:
            What was found, for the log.

        Raises:
            ValueError: If a row differs.
        """
        filled = self.store.filled()
        # Not the generators of the training, nor the same rows every time.
        rows = np.random.default_rng().choice(
            filled, min(CHECKED, len(filled)), replace=False
        )
        kept, whole = self.store.read(rows)
        if len(rows):
            batch = self._data.replay(
                (rows // self._variants).tolist(),
                torch.from_numpy(rows % self._variants),
            )
            batch = self._preprocessor(batch, False)
            live = self._compute(batch['inputs'], batch['data_samples'])
            half = self.teacher.speed.dtype != torch.float32
            limit = HALF_ROUNDING if half else ROUNDING
            off = np.abs(kept - live).max(1)[whole]
            allowed = limit * np.abs(live).max(1)[whole]
            # Turned round, to refuse NaN.
            wrong = rows[whole][~(off <= allowed)]
            if len(wrong):
                raise MMKDValueError(
                    f'The cached logits in {self.store.folder} are not those '
                    f'that the teacher gives now: {len(wrong)} of {len(rows)} '
                    f'rows that were computed again differ by up to '
                    f'{off.max():.2g}: delete the folder, and all are '
                    'computed anew.'
                )
        full = len(filled) == len(self.store)
        if full:
            self.teacher.release()
        return (
            f'{self.store.folder} holds {len(filled)} of {len(self.store)} '
            f'rows of logits ({len(filled) / len(self.store):.1%}); '
            f'{len(rows)} were computed again and are the same'
            + ('; the teacher is not needed any more' if full else '')
        )

    def see(self, inputs: Tensor, data_samples=None) -> None:
        """Find or compute the logits of a student's images.

        Args:
            inputs: See :meth:`.Teacher.see`.
            data_samples (list): One per image; ``sample_idx`` and
                ``variant`` tell which picture it is.

        Raises:
            TypeError: If they do not.
            ValueError: If there is no such picture, or images are mixed.
            RuntimeError: If a row is damaged, and the teacher was freed.
            OSError: If rows cannot be written.
        """
        # Again: SwitchRecipeHook may begin to mix them.
        refuse_mixing(self._preprocessor)
        rows = self._rows(data_samples)
        logits, found = self.store.read(rows)
        if not found.all():
            self._fill(inputs, data_samples, rows, logits, found)
        self._logits = torch.from_numpy(logits).to(inputs.device)

    def logits(self, ask: Callable, pick: Callable | None = None) -> Tensor:
        """See :meth:`.Teacher.logits`; `ask` is the question that is kept."""
        if ask is not self._ask:
            raise MMKDTypeError(
                'Expected the question whose answer is cached, '
                f'{self._ask.__name__}, but got {ask.__name__}: take `cache` '
                'out of `teacher`.'
            )
        logits: Any = self._logits
        return self.teacher.reorder(pick(logits) if pick else logits)

    def forget(self) -> None:
        """See :meth:`.Teacher.forget`."""
        self._logits = None

    def _rows(self, data_samples: Sequence) -> np.ndarray:
        """The number of each image's row."""
        try:
            places = [
                sample.sample_idx * self._variants + sample.variant
                for sample in data_samples
            ]
        except (AttributeError, TypeError) as error:
            raise MMKDTypeError(
                'Expected every image to come with its `sample_idx` and its '
                f'`variant`, by which its logits are cached, but got {error}: '
                'train with InMemoryCIFAR100, or name both in `meta_keys` of '
                'PackInputs.'
            ) from error
        return np.array(places, np.int64)

    def _fill(
        self,
        inputs: Tensor,
        data_samples: Sequence,
        rows: np.ndarray,
        logits: np.ndarray,
        found: np.ndarray,
    ) -> None:
        """Compute the rows that were not found; changes `logits`."""
        if self.teacher.model is None:
            self.store.clear(rows[~found])
            raise MMKDRuntimeError(
                f'The cached logits in {self.store.folder} are damaged in '
                f'{(~found).sum()} of {len(rows)} rows of this step, and the '
                'teacher is not in memory: resume or start again, and they '
                'are computed anew.'
            )
        empty, there = np.flatnonzero(~found), np.flatnonzero(found)
        few = max(FEWEST - len(empty), 0)
        wanted = np.sort(np.concatenate([empty, there[:few]]))
        live = self._compute(
            inputs[torch.from_numpy(wanted).to(inputs.device)],
            [data_samples[place] for place in wanted],
        )
        new = live[~found[wanted]]
        self.store.write(rows[empty], new)
        logits[empty] = new

    def _compute(self, inputs: Tensor, data_samples: Sequence) -> np.ndarray:
        """Logits of the teacher, (N, C), float32."""
        self.teacher.see(inputs, data_samples)
        logits = self.teacher.answer(self._ask).float().cpu().numpy()
        self.teacher.forget()
        return logits


def refuse_mixing(preprocessor: Any) -> None:
    """Refuse Mixup and CutMix.

    Args:
        preprocessor: The student's data preprocessor.

    Raises:
        ValueError: If it mixes images.
    """
    if getattr(preprocessor, 'batch_augments', None):
        raise MMKDValueError(
            'The data preprocessor of the student has `batch_augments`, and '
            'the logits of mixed images are not the mixed logits, so they '
            'cannot be cached: take it out, or `cache` out of `teacher`.'
        )
