"""The vector that an image classifier makes of its last feature map.

N images, D_s and D_t channels of student and teacher.
"""

import torch
import torch.nn as nn
from mmengine.registry import TASK_UTILS
from torch import Tensor

from ...arguments import check_switch
from ...exceptions import MMKDRuntimeError
from ..reading import Reading
from .feature_tap import FeatureTap
from .stage_paths import POOLED


@TASK_UTILS.register_module()
class PooledTap:
    """Read what the neck of a classifier hands to its head: pooled vectors.

    Works with MMPretrain's ``ImageClassifier`` whose neck pools, such as
    ``GlobalAveragePooling``.

    Args:
        indexed: Whether the labels come with the index of each image in the
            data set, its ``sample_idx``.
    """

    per_class = False
    # The teacher's images may be of another size than the student's.
    any_size = True

    def __init__(self, indexed: bool = False) -> None:
        check_switch(indexed=indexed)
        self.indexed = indexed
        self._maps = FeatureTap(POOLED)

    @property
    def kind(self) -> str:
        """What a loss must compare to read from this tap."""
        return 'indexed_vectors' if self.indexed else 'vectors'

    def shared(self, student: nn.Module) -> tuple[str, ...]:
        """Places in a student whose output the term and the task use."""
        return self._maps.shared(student)

    def fits(self, model: nn.Module) -> bool:
        """Whether a model has a neck that pools."""
        return self._maps.fits(model)

    def refuse(self, role: str, model: nn.Module) -> None:
        """Refuse a model without a neck that pools.

        Args:
            role: 'student' or 'teacher'.
            model: Not wrapped.

        Raises:
            TypeError: If it has none.
        """
        self._maps.refuse(role, model)

    def reads(self, teacher: nn.Module) -> str:
        """What is read of a teacher, for the log."""
        return 'its pooled vectors'

    def channels(
        self, student: nn.Module, teacher: nn.Module, side: int
    ) -> tuple[list[int], list[int]]:
        """Measure the length of the vectors.

        Args:
            student, teacher: In eval mode, with ``extract_feat``.
            side: Height and width of the image to show them.

        Returns:
            [D_s] and [D_t].
        """
        return self._maps.channels(student, teacher, side)

    def attach(self, student: nn.Module, teacher: nn.Module) -> None:
        """Register hooks on a student that :meth:`refuse` accepts.

        Args:
            student: In training.
            teacher: The teacher.
        """
        self._maps.attach(student, teacher)

    def detach(self) -> None:
        """Remove the hooks, and free the last forward."""
        self._maps.detach()

    def take(self, teacher) -> Reading | None:
        """Return the reading of the student's last forward, and clear it.

        Args:
            teacher (Teacher | None): Has seen the images of that forward.
                None: no teacher runs; its vectors in the reading are then a
                placeholder.

        Returns:
            Vectors (N, D_s) and (N, D_t); as labels class ids (N,), soft
            labels (N, C), or None if the images have none, and with
            ``indexed`` a tuple of those and indices (N,); weights of 1.
            None if the student did not run.

        Raises:
            RuntimeError: With ``indexed``, an image has no ``sample_idx``.
        """
        samples = self._maps.samples
        reading = self._maps.take(teacher)
        if reading is None:
            return None
        own, other = reading.student[0], reading.teacher[0]
        found = Reading(
            own.flatten(1),
            other.flatten(1),
            image_labels(samples),
            own.new_ones(len(own)),
        )
        if not self.indexed:
            return found
        indices = image_indices(samples, own.device)
        return found._replace(labels=(found.labels, indices))


def image_labels(samples) -> Tensor | None:
    """The labels of images, (N,), or soft ones, (N, C); None: none."""
    if not samples:
        return None
    if 'gt_score' in samples[0]:
        return torch.stack([sample.gt_score for sample in samples])
    if all(len(sample.get('gt_label', ())) == 1 for sample in samples):
        return torch.cat([sample.gt_label for sample in samples])
    return None


def image_indices(samples, device: torch.device) -> Tensor:
    """Where images are in the data set, (N,).

    Raises:
        RuntimeError: If one does not say it.
    """
    found = [sample.get('sample_idx') for sample in samples or [{}]]
    if None in found:
        raise MMKDRuntimeError(
            'Expected a `sample_idx` in the metainfo of every image, its '
            'position in the data set, which PooledTap reads for this loss, '
            'but got none: take InMemoryCIFAR100, or a data set of MMPretrain '
            "whose PackInputs has 'sample_idx' in its `meta_keys`."
        )
    # A copy that does not wait for the GPU.
    return torch.tensor(found).to(device, non_blocking=True)
