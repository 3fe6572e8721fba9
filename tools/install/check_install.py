"""Checks that the installed packages work together.

Run it with the Python of the environment in question:
``python tools/install/check_install.py``. It prints the versions, runs
RoIAlign and NMS once, and ends with exit code 1 and one sentence if something
is wrong.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version

# Import name to distribution name, by family.
FAMILIES = {
    'openmmlab': {
        'mmengine': 'mmengine',
        'mmcv': 'mmcv',
        'mmdet': 'mmdet',
        'mmpretrain': 'mmpretrain',
    },
    'onedl': {
        'mmengine': 'onedl-mmengine',
        'mmcv': 'onedl-mmcv',
        'mmdet': 'onedl-mmdetection',
        'mmpretrain': 'onedl-mmpretrain',
    },
}
REPAIR = 'run `make setup` again'


class CheckError(Exception):
    """What is wrong with the installation, in one sentence."""


def is_installed(distribution):
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def find_family():
    """Returns the family of distributions behind mmengine, mmcv and so on.

    Raises:
        CheckError: If both families are installed: their files overwrite
            one another.
    """
    found = {
        family: [name for name in names.values() if is_installed(name)]
        for family, names in FAMILIES.items()
    }
    if all(found.values()):
        clash = ', '.join(name for names in found.values() for name in names)
        raise CheckError(
            'Expected the distributions of one family but got those of two '
            f'({clash}), which overwrite each other: use a fresh environment.'
        )
    return next((family for family in found if found[family]), 'unknown')


def load(name):
    """Imports a module.

    Raises:
        CheckError: If the import fails, with the likely cause.
    """
    try:
        return importlib.import_module(name)
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        if 'libGL' in reason or 'libgthread' in reason:
            hint = (
                'install the library (Debian, Ubuntu: `apt-get install '
                'libgl1 libglib2.0-0`) or opencv-python-headless'
            )
        elif 'mmcv._ext' in reason:
            hint = (
                'mmcv was built without its ops, because torch was not '
                'there during the build; remove it and ' + REPAIR
            )
        elif 'undefined symbol' in reason and 'mmcv' in name + reason:
            hint = (
                "mmcv's ops were compiled against another torch; remove the "
                'wheel and ' + REPAIR
            )
        elif 'torchvision::nms' in reason or 'undefined symbol' in reason:
            hint = (
                'torch and torchvision do not match; install both from the '
                'same index, or ' + REPAIR
            )
        else:
            hint = REPAIR
        raise CheckError(
            f'Expected `import {name}` to work but got "{reason}": {hint}.'
        ) from error


def print_versions():
    print(f'python      {sys.version.split()[0]}')
    print(f'family      {find_family()}')
    for name in ('torch', 'torchvision', 'numpy', 'cv2'):
        print(f'{name:<11} {load(name).__version__}')
    for name in FAMILIES['onedl']:
        print(f'{name:<11} {load(name).__version__}')


def expect(what, got, wanted):
    """Raises CheckError if two tensors differ."""
    import torch

    got, reference = got.cpu().float(), torch.tensor(wanted).float()
    if got.shape != reference.shape or not torch.allclose(got, reference):
        raise CheckError(
            f'Expected {what} to give {wanted} but got {got.tolist()}: '
            f'{REPAIR}.'
        )


def check_ops(device='cpu'):
    """Runs NMS of torchvision and mmcv, and mmcv's RoIAlign, on a device.

    Raises:
        CheckError: If an op is missing or gives wrong values.
    """
    import torch

    nms = load('torchvision.ops').nms
    ops = load('mmcv.ops')
    # The second box overlaps the first by an IoU of 0.81, the third not.
    boxes = torch.tensor(
        [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 9.0, 9.0], [20.0, 20.0, 30.0, 30]]
    ).to(device)
    scores = torch.tensor([0.9, 0.8, 0.7]).to(device)
    # On a plane, the mean over a bin is the value at its centre.
    plane = torch.arange(16.0).reshape(1, 1, 4, 4).to(device)
    rois = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]).to(device)
    align = ops.RoIAlign(output_size=2, sampling_ratio=2)
    try:
        kept = nms(boxes, scores, 0.5)
        kept_mmcv = ops.nms(boxes, scores, 0.5)[1]
        pooled = align(plane, rois).flatten()
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CheckError(
            f'Expected the ops to run on {device} but got "{reason}": '
            f'{REPAIR}.'
        ) from error
    expect("torchvision's NMS", kept, [0, 2])
    expect("mmcv's NMS", kept_mmcv, [0, 2])
    expect("mmcv's RoIAlign", pooled, [2.5, 4.5, 10.5, 12.5])


def main():
    try:
        print_versions()
        check_ops()
        print("ops         torchvision's and mmcv's work on cpu")
        import torch

        if torch.cuda.is_available():
            try:
                check_ops('cuda')
                print("ops         torchvision's and mmcv's work on cuda")
            except CheckError as error:
                print(
                    f'WARNING: {error} Until then, run with '
                    'CUDA_VISIBLE_DEVICES= set, on the CPU.'
                )
        print(f'mmkd_plugin {load("mmkd_plugin").__version__}')
    except CheckError as error:
        sys.exit(f'ERROR: {error}')


if __name__ == '__main__':
    main()
