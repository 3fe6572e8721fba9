#!/usr/bin/env python
"""Convert published CIFAR-100 weights into checkpoints of MMPretrain.

`cifar_teachers.tar`, the archive of teachers from
https://github.com/megvii-research/mdistiller/releases/tag/checkpoints, holds
files such as `resnet56_vanilla/ckpt_epoch_240.pth`. This one becomes
`checkpoints/cifar100/resnet56.pth`, which the configs in `configs/cifar100/`
use as a teacher; the others likewise.

    python tools/model_converters/convert_cifar_teachers.py cifar_teachers.tar
    python tools/model_converters/convert_cifar_teachers.py \\
        ckpt_epoch_240.pth --models vgg13
"""

import argparse
import io
import re
import shutil
import tarfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from mmkd_plugin.checkpoints.atomic import write_bytes
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import load_from_local, load_trusted
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.compat import check_versions

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'cifar100'
NETWORKS = (
    'resnet20',
    'resnet32',
    'resnet56',
    'resnet110',
    'resnet8x4',
    'resnet32x4',
    'wrn_16_2',
    'wrn_40_1',
    'wrn_40_2',
    'vgg8',
    'vgg13',
    'mobilenetv2',
    'shufflev1',
    'shufflev2',
    'resnet50',
)
# Bytes that an archive may unpack to, on top of four times its size.
MOST_UNPACKED = 256 << 20
# Where more differs than the prefix `backbone.`: published name -> ours.
RENAMED = (
    (r'^backbone\.(fc|linear|classifier(\.0)?)\.', 'head.fc.'),
    (r'\.shortcut\.(\d)\.', r'.downsample.\1.'),  # ResNet-50
    (r'\.layer\.', '.'),  # wide ResNets
    (r'\.convShortcut\.', '.shortcut.'),
)


def rename(name):
    """MMPretrain's name of a weight of a published network."""
    name = f'backbone.{name}'
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def build(name):
    """The classifier of one network, of 100 classes."""
    model = Config.fromfile(CONFIGS / f'{name}.py').model
    return MODELS.build(dict(model, _scope_='mmpretrain'))


def convert(name, source, target, trust=False):
    """Convert a published network to a checkpoint of MMPretrain.

    Args:
        name (str): One of :data:`NETWORKS`.
        source (Path): A file with the weights under ``model``, or alone.
        target (Path): The file to write; its folder must exist.
        trust (bool): Whether to run the code that the file may hold.

    Returns:
        int: Number of parameters.

    Raises:
        ValueError: Unless the file holds exactly the weights of this network.
    """
    from mmpretrain.datasets.categories import CIFAR100_CATEGORIES

    content = (load_trusted if trust else load_from_local)(source)
    if isinstance(content, dict):
        content = content.get('model', content)
    state, _ = split_checkpoint(content, str(source))
    model = build(name)
    load_strictly(
        model,
        {rename(key): value for key, value in state.items()},
        str(source),
        role=name,
        advice='Name the network that the file holds by --models.',
    )
    meta = dict(dataset_meta=dict(classes=CIFAR100_CATEGORIES))
    file = io.BytesIO()
    torch.save(dict(meta=meta, state_dict=model.state_dict()), file)
    write_bytes(target, file.getvalue())
    return sum(parameter.numel() for parameter in model.parameters())


def network_of(path):
    """The network of a file in the archive, by the name of its folder.

    Args:
        path (PurePath): Such as ``resnet56_vanilla/ckpt_epoch_240.pth``.

    Returns:
        str | None: None if the file is something else.
    """
    name = path.parent.name.lower().removesuffix('_vanilla')
    is_weights = path.suffix == '.pth' and not path.name.startswith('.')
    return name if is_weights and name in NETWORKS else None


def unpack(archive, folder):
    """Extract the weights of an archive, as FOLDER/FILE."""
    try:
        left = MOST_UNPACKED + 4 * archive.stat().st_size
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                left -= member.size
                if member.issparse() or left < 0:
                    raise tarfile.TarError('it unpacks to far more')
                if member.isfile() and network_of(path):
                    target = folder / path.parent.name / path.name
                    target.parent.mkdir(exist_ok=True)
                    with target.open('wb') as file:
                        shutil.copyfileobj(tar.extractfile(member), file)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SystemExit(
            f'error: The archive {archive} could not be read ({error}): it '
            'is damaged; download it again.'
        ) from error


@contextmanager
def open_folder(source):
    """Yield the folder with the weights; an archive is unpacked first."""
    if source.is_dir():
        yield source
        return
    with TemporaryDirectory() as folder:
        unpack(source, Path(folder))
        yield Path(folder)


def find_networks(folder, source):
    """Name of each network to its file.

    Args:
        folder (Path): Where to look, at any depth.
        source (Path): Its name in messages.

    Raises:
        SystemExit: If there is none, or several of one network.
    """
    found = {}
    for path in sorted(folder.rglob('*.pth')):
        name = network_of(path)
        if name in found:
            raise SystemExit(
                f'error: {source} holds several files of {name} '
                f'({found[name].relative_to(folder)}, '
                f'{path.relative_to(folder)}): give the right one alone, '
                f'with --models {name}.'
            )
        if name:
            found[name] = path
    if not found:
        raise SystemExit(
            f'error: Expected {source} to hold files such as '
            'resnet56_vanilla/ckpt_epoch_240.pth, but got none: give '
            'cifar_teachers.tar, the folder unpacked from it, or one .pth '
            'file with --models.'
        )
    return found


def convert_all(files, out, trust=False):
    """Convert each of `files`, name to path, and print the results."""
    out.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        target = out / f'{name}.pth'
        count = convert(name, path, target, trust)
        print(f'{target}: {count:,} parameters', flush=True)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'source',
        type=Path,
        help='cifar_teachers.tar, the folder unpacked from it, or one .pth',
    )
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('checkpoints/cifar100'),
        help='folder to write to (default: %(default)s)',
    )
    parser.add_argument(
        '--models',
        nargs='+',
        metavar='NAME',
        choices=list(NETWORKS),
        help='networks to convert (default: all that are found); for a single '
        f'.pth, its network: {", ".join(NETWORKS)}',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='run the code that the files may hold, where they are refused '
        'otherwise; only for files whose origin you know',
    )
    return parser.parse_args(argv)


@explain_errors()
def main(argv=None):
    args = parse_args(argv)
    check_versions('mmpretrain')
    source, models = args.source, args.models
    if not source.exists():
        raise SystemExit(
            f'error: {source} was not found: give the path of '
            'cifar_teachers.tar, of its folder or of one .pth file.'
        )
    if args.out.exists() and not args.out.is_dir():
        raise SystemExit(
            f'error: --out {args.out} is a file: give the path of a folder.'
        )
    if not source.is_file() and not source.is_dir():
        raise SystemExit(
            f'error: {source} is a pipe, device or socket: give the path of '
            'cifar_teachers.tar, of its folder or of one .pth file.'
        )
    if source.is_file() and not tarfile.is_tarfile(source):
        if models is None or len(models) != 1:
            raise SystemExit(
                f'error: {source} is one file of weights: tell which network '
                'it is by --models and one name.'
            )
        convert_all({models[0]: source}, args.out, args.trust_checkpoint)
        return
    with open_folder(source) as folder:
        found = find_networks(folder, source)
        for name in models or ():
            if name not in found:
                raise SystemExit(
                    f'error: {source} holds no {name}, but '
                    f'{", ".join(sorted(found))}: choose from these.'
                )
        files = {name: found[name] for name in models or found}
        convert_all(files, args.out, args.trust_checkpoint)


if __name__ == '__main__':
    main()
