"""Noise in place of a config's training data, to run its models on."""

import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

# Arguments of transforms that set the size of an image.
SIZE_KEYS = ('scale', 'scales', 'img_scale', 'crop_size', 'size')
CIFAR = (32, 32)


def find_size(dataset):
    """Size of the images that a data set's pipeline produces.

    Args:
        dataset (dict): Config of a data set, wrapped or not.

    Returns:
        tuple[int, int] | None: Width and height in pixels, the last ones that
        its pipeline sets; 32 x 32 for CIFAR, None if not known.
    """
    found = list(_sizes(dataset))
    if not found and 'CIFAR' in str(dataset):
        return CIFAR
    return found[-1] if found else None


def _sizes(value):
    """Widths and heights in a config, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if key in SIZE_KEYS:
            several = _is_list(item) and item and _is_list(item[0])
            for size in item if several else [item]:
                pair = tuple(size) if _is_list(size) else (size, size)
                if len(pair) == 2 and all(type(side) is int for side in pair):
                    yield pair
        elif isinstance(item, dict) or _is_list(item):
            yield from _sizes(item)


def _is_list(value):
    return isinstance(value, (list, tuple))


def find_classes(dataset):
    """Class names in a data set's config, or those of its type.

    Args:
        dataset (dict): Config of a data set, wrapped or not.

    Returns:
        tuple[str] | None: None if they are in its files alone.
    """
    for part in _parts(dataset):
        # As `build` does, and `get` by itself does not, in the default scope.
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(part.get('type', ''))
        for known in (part.get('metainfo'), getattr(kind, 'METAINFO', None)):
            names = (known or {}).get('classes')
            if names and not isinstance(names, str):
                return tuple(names)
    return None


def _parts(cfg):
    """The configs inside wrappers, followed by the wrappers."""
    for inner in (cfg.get('dataset'), *(cfg.get('datasets') or ())):
        if inner:
            yield from _parts(inner)
    yield cfg


def noise_loader(dataset, model, size=None):
    """Config of a data loader of noise in place of a data set.

    Args:
        dataset (dict): Config of the data set, which gives the image size and
            the classes.
        model (nn.Module): The detector or classifier that it is for.
        size (tuple[int, int], optional): Another width and height, pixels.

    Returns:
        dict: The config.

    Raises:
        SystemExit: If the size is not known.
    """
    size = size or find_size(dataset)
    if size is None:
        raise SystemExit(
            'error: No transform of the training data names the size of the '
            'images: give --size WIDTH HEIGHT, or run on the real ones with '
            '--data.'
        )
    return dict(
        batch_size=RandomImages.LENGTH,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='RandomImages',
            size=size,
            classes=find_classes(dataset),
            boxes=not hasattr(model, 'head'),
            masks=getattr(model, 'with_mask', False),
        ),
    )


@DATASETS.register_module()
class RandomImages(Dataset):
    """Noise, with a label or with boxes.

    Args:
        size (tuple[int, int]): Width and height of the images, pixels.
        classes (tuple[str], optional): Names of the classes.
        boxes (bool): Whether an image has boxes, for a detector, or a label.
        masks (bool): Whether the boxes have masks.
    """

    LENGTH = 2
    BOXES = 3

    def __init__(self, size, classes=None, boxes=False, masks=False):
        self.size = tuple(size)
        self.metainfo = dict(classes=classes) if classes else {}
        self.labels = len(classes or [''])
        self.boxes = boxes
        self.masks = masks

    def __len__(self):
        return self.LENGTH

    def __getitem__(self, index):
        """One image, packed as the library's own data sets pack it.

        Args:
            index (int): Of an image.

        Returns:
            dict: ``inputs``, uint8 (3, height, width), and ``data_samples``.
        """
        width, height = self.size
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(
            256, (3, height, width), dtype=torch.uint8, generator=generator
        )
        pack = self._with_boxes if self.boxes else self._with_label
        return dict(inputs=image, data_samples=pack(index, generator))

    def _with_label(self, index, generator):
        from mmpretrain.structures import DataSample

        sample = DataSample(metainfo=self._metainfo(index))
        return sample.set_gt_label(index % self.labels)

    def _with_boxes(self, index, generator):
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks
        from mmengine.structures import InstanceData

        width, height = self.size
        # Sides between a quarter and half of the image's.
        corner, extent = torch.rand(2, self.BOXES, 2, generator=generator)
        boxes = torch.cat([corner / 2, corner / 2 + (1 + extent) / 4], 1)
        sample = DetDataSample(metainfo=self._metainfo(index))
        sample.gt_instances = InstanceData(
            bboxes=boxes * torch.tensor([width, height, width, height]),
            labels=torch.arange(self.BOXES) % self.labels,
        )
        if self.masks:
            masks = torch.ones(self.BOXES, height, width, dtype=torch.uint8)
            sample.gt_instances.masks = BitmapMasks(
                masks.numpy(), height, width
            )
        return sample

    def _metainfo(self, index):
        shape = self.size[::-1]
        return dict(
            img_id=index,
            img_shape=shape,
            ori_shape=shape,
            scale_factor=(1.0, 1.0),
        )
