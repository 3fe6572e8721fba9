#!/usr/bin/env python
"""Prepare a student's checkpoint for publishing.

    python tools/model_converters/publish_student.py CHECKPOINT OUT_DIR

Writes OUT_DIR/{config name}_{date}-{first 8 digits of the sha256}.pth, with
the weights, the classes and the part of the config that inference needs, and
next to it a metafile entry in the format of OpenMMLab's model-index. The
checkpoint must hold exactly the student's weights.
"""

import argparse
import hashlib
import io
import re
import time
from datetime import date
from pathlib import Path, PurePath

import numpy as np
import torch
import yaml
from metafile import make_entry, read_results
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.utils import import_modules_from_strings
from training_settings import describe

from mmkd_plugin.checkpoints.atomic import write_bytes, write_text
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import load_from_local, load_trusted
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.exceptions import MMKDValueError
from mmkd_plugin.model_config import config_of, model_of

# What inference reads from a config; of the data set, no paths.
KEPT = ('custom_imports', 'data_preprocessor', 'default_scope', 'model')
KEPT_OF_DATA = ('type', 'metainfo', 'pipeline')
# What is kept of the checkpoint's `meta`.
KEPT_META = ('epoch', 'iter', 'seed', 'mmengine_version', 'dataset_meta')


def plain(value):
    """Convert a value to types that `torch.load(weights_only=True)` takes.

    Args:
        value (object): Dicts, lists, tuples, numbers, strings and arrays.

    Returns:
        object: The same in Python's built-in types.

    Raises:
        ValueError: If it holds anything else.
    """
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kind = tuple if isinstance(value, tuple) else list
        return kind(plain(item) for item in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (PurePath, date)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise MMKDValueError(
        f'The checkpoint cannot be published: it holds {str(value)[:80]!r} '
        f'in its meta, and expected are numbers, text, lists and dicts in '
        f'{", ".join(KEPT_META)}; publish one that MMEngine has written.'
    )


def inference_config(cfg):
    """Keep the part of a config that inference needs.

    Args:
        cfg (dict): The config of the training.

    Returns:
        dict: Without teacher, schedule, hooks, and paths of data and initial
        weights; without the import of this package unless the model needs
        it.
    """
    kept = {key: cfg[key] for key in KEPT if key in cfg}
    kept['model'] = _without_first_weights(kept['model'])
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if loader:
        data = loader['dataset']
        data = {key: data[key] for key in KEPT_OF_DATA if key in data}
        kept['test_dataloader'] = dict(dataset=data)
    if 'visualizer' in cfg:
        kept['visualizer'] = dict(type=cfg['visualizer']['type'])
    if 'custom_imports' in kept and not needs_plugin(kept):
        imports = kept.pop('custom_imports')['imports']
        imports = [imports] if isinstance(imports, str) else imports
        others = [name for name in imports if name != 'mmkd_plugin']
        if others:
            kept['custom_imports'] = dict(imports=others)
    return kept


def _without_first_weights(value):
    if isinstance(value, dict):
        return {
            key: _without_first_weights(item)
            for key, item in value.items()
            if key not in ('init_cfg', 'pretrained')
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_without_first_weights(item) for item in value)
    return value


def needs_plugin(value):
    """Whether a part of a config is built from a class of this package."""
    if isinstance(value, (list, tuple)):
        return any(map(needs_plugin, value))
    if not isinstance(value, dict):
        return False
    kinds = [
        registry.module_dict.get(value.get('type'))
        for registry in (MODELS, DATASETS)
    ]
    return any(
        kind is not None and kind.__module__.startswith('mmkd_plugin.')
        for kind in kinds
    ) or any(map(needs_plugin, value.values()))


def build(cfg):
    """Build the model of a config.

    Args:
        cfg (dict): As of :func:`inference_config`.

    Returns:
        nn.Module: The model.
    """
    if 'custom_imports' in cfg:
        import_modules_from_strings(**cfg['custom_imports'])
    return model_of(Config(cfg))


def publish(state, meta, cfg, out, name):
    """Write the file.

    Args:
        state (dict): The state dict.
        meta (dict): `meta` of the checkpoint.
        cfg (dict): As of :func:`inference_config`.
        out (Path): The folder.
        name (str): Name of the config.

    Returns:
        Path: The file.
    """
    kept = {key: plain(meta[key]) for key in KEPT_META if key in meta}
    kept['cfg'] = Config(cfg).pretty_text
    # Cloned, because a view would be saved with its whole storage.
    state = {key: value.clone() for key, value in state.items()}
    buffer = io.BytesIO()
    torch.save(dict(meta=kept, state_dict=state), buffer)
    content = buffer.getvalue()
    torch.load(io.BytesIO(content), weights_only=True)
    saved = re.match(r'\d{8}', str(meta.get('time')))
    date = saved[0] if saved else time.strftime('%Y%m%d')
    digest = hashlib.sha256(content).hexdigest()[:8]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f'{name}_{date}-{digest}.pth'
    write_bytes(path, content)
    return path


def find_config(path, given, meta):
    """Find the config of the training; that in the checkpoint is not used.

    Args:
        path (Path): The checkpoint.
        given (str | None): Path of a config.
        meta (dict): `meta` of the checkpoint.

    Returns:
        tuple[dict, str]: The config, and its path or at least its name.

    Raises:
        SystemExit: If there is none, or several and none matches.
    """
    if given:
        return config_of(given).to_dict(), given
    # MMEngine writes it into the work directory. The experiment is named
    # after the config, followed by the time at which the run started.
    beside = sorted(path.absolute().parent.glob('*.py'))
    name = str(meta.get('experiment_name'))[:-16]
    found = [file for file in beside if file.stem == name] or beside
    if len(found) != 1:
        raise SystemExit(
            f'error: Beside the checkpoint {path} are {len(found)} configs, '
            'of which one must be that of its training: give it by --config.'
        )
    print(f'The config is {found[0]}.')
    return config_of(str(found[0])).to_dict(), found[0].name


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('out', type=Path, metavar='OUT_DIR')
    parser.add_argument(
        '--config',
        metavar='FILE',
        help='config of the training (default: the one that MMEngine wrote '
        'next to the checkpoint)',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run the code that the checkpoint may hold, where it is refused '
        'otherwise; only for files whose origin you know',
    )
    parser.add_argument(
        '--log',
        type=Path,
        metavar='WORK_DIR',
        help='work directory of the run, to read the results from its log',
    )
    parser.add_argument(
        '--dataset', help='name of the validation data, for the results'
    )
    args = parser.parse_args()
    if bool(args.log) != bool(args.dataset):
        parser.error('give --log and --dataset together')
    return args


@explain_errors()
def main():
    args = parse_args()
    read = load_trusted if args.trust_checkpoint else load_from_local
    checkpoint = read(args.checkpoint)
    state, meta = split_checkpoint(checkpoint, str(args.checkpoint))
    cfg, config = find_config(args.checkpoint, args.config, meta)
    results = []
    if args.log:
        results = read_results(args.checkpoint, meta, args.log, args.dataset)
    kept = inference_config(cfg)
    model = build(kept)
    load_strictly(
        model,
        state,
        str(args.checkpoint),
        role='student',
        advice='Publish a checkpoint of this student and of nothing else, or '
        'name its config with --config.',
    )
    saved = dict(checkpoint if 'state_dict' in checkpoint else {}, meta=meta)
    settings = describe(cfg, saved, model)
    path = publish(state, meta, kept, args.out, Path(config).stem)
    entry = make_entry(path, config, model, meta, settings, results)
    text = yaml.safe_dump(dict(Models=[entry]), sort_keys=False)
    write_text(path.with_suffix('.yml'), text)
    old, new = (p.stat().st_size / 2**20 for p in (args.checkpoint, path))
    print(f'{text}\n{path}: {new:.2f} MiB instead of {old:.2f}.')
    if needs_plugin(kept):
        print(
            'Its network is defined in mmkd_plugin: import it to use the file.'
        )


if __name__ == '__main__':
    main()
