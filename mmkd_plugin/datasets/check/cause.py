"""Why a data set could not be built, from its config only."""

import os
from types import SimpleNamespace

from mmengine.registry import DATASETS

from ...exceptions import MMKDError, MMKDTypeError, MMKDValueError
from .dispatch import check_part
from .evaluators import check_annotation_files


def find_cause(split: str, cfg, evaluator=None) -> str | None:
    """Find out why data, or their evaluator, could not be built.

    Args:
        split: What to call the data in the message.
        cfg (dict): Config of the data set, wrapped or not.
        evaluator (dict | list, optional): Config of the evaluator.

    Returns:
        None if config and files do not show it.
    """
    try:
        if isinstance(cfg, dict):
            _check(split, cfg)
        check_annotation_files(split, evaluator)
    except MMKDError as error:
        return str(error)
    return None


def _check(split: str, cfg: dict) -> None:
    inner = [cfg.get('dataset'), *(cfg.get('datasets') or ())]
    for part in inner:
        if isinstance(part, dict):
            _check(split, part)
    if any(part is not None for part in inner):
        return
    root = cfg.get('data_root') or ''
    if root and '://' not in root and not os.path.isdir(root):
        raise MMKDValueError(
            f'The folder {root!r} of the {split} data was not found: give it '
            'by --cfg-options data_root=/path/to/data/.'
        )
    kind = cfg.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    if isinstance(kind, type):
        check_part(split, _describe(split, kind, cfg), kind)


def _describe(split: str, kind: type, cfg: dict) -> SimpleNamespace:
    """The attributes of a data set that the checks read, from its config."""
    metainfo = cfg.get('metainfo') or {}
    if not isinstance(metainfo, dict):
        raise MMKDTypeError(
            f'Expected `metainfo` of the {split} data to be a dict such as '
            f'dict(classes=(...)) but got {metainfo!r}.'
        )
    metainfo = {**getattr(kind, 'METAINFO', {}), **metainfo}
    if cfg.get('classes') is not None:
        metainfo['classes'] = cfg['classes']
    names = metainfo.get('classes')
    if isinstance(names, str) and os.path.isfile(names):
        with open(names) as file:
            metainfo['classes'] = [line.rstrip('\n\r') for line in file]
    root = os.path.expanduser(cfg.get('data_root') or '')
    prefix = cfg.get('data_prefix')
    if hasattr(kind, 'img_prefix'):  # MMPretrain allows a string
        prefix = prefix or ''
        if isinstance(prefix, str):
            prefix = dict(img_path=prefix)
        if cfg.get('split') and not prefix.get('img_path'):
            prefix = dict(img_path=cfg['split'])
    elif prefix is None:
        prefix = dict(img_path='')
    if isinstance(prefix, dict):
        prefix = {key: os.path.join(root, prefix[key]) for key in prefix}
    ann_file = cfg.get('ann_file') or ''
    return SimpleNamespace(
        metainfo=metainfo,
        ann_file=os.path.join(root, ann_file) if ann_file else '',
        data_prefix=prefix,
        filter_cfg=cfg.get('filter_cfg'),
        test_mode=cfg.get('test_mode', False),
        backend_args=cfg.get('backend_args'),
        pipeline=SimpleNamespace(transforms=cfg.get('pipeline') or ()),
        ann_subdir=cfg.get('ann_subdir', 'Annotations'),
        with_label=cfg.get('with_label', True),
        extensions=cfg.get(
            'extensions',
            ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif'),
        ),
    )
