#!/usr/bin/env python
"""Export a trained model to ONNX, and compare ONNX Runtime with PyTorch.

    python tools/deployment/export_onnx.py CONFIG CHECKPOINT --out student.onnx

The ONNX model takes an image as loaded, resized as in the config's test
pipeline, and returns `boxes`, `scores` and `labels` (a detector) or `scores`
(a classifier). It is written only if ONNX Runtime predicts the same for the
first test images as MMDetection's or MMPretrain's model, which MMEngine's
runner builds.
"""

import io
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from exportable import ExportableClassifier, ExportableDetector
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, Runner

from mmkd_plugin.checkpoints.atomic import write_bytes
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.progress import working
from mmkd_plugin.model_config import model_of

# What MMEngine's runner builds a model from.
MODEL_KEYS = ('data_preprocessor', 'default_scope', 'model')
OPSET = 17
# Tolerance for rounding: input pixels, and scores in [0, 1].
BOX_TOLERANCE = 0.1
SCORE_TOLERANCE = 1e-3
# Rounding also decides which of two boxes with equal scores NMS keeps.
LEAST_AGREEMENT = 0.95


def make_exportable(model):
    """Wrap a model so that it can be exported.

    Args:
        model (nn.Module): Of MMDetection or MMPretrain.

    Returns:
        nn.Module: Maps images (B, 3, H, W) to tensors, named in `outputs`.
    """
    if hasattr(model, 'roi_head'):
        return ExportableDetector(model)
    if type(model).__name__ == 'ImageClassifier':
        return ExportableClassifier(model)
    raise SystemExit(
        f'error: {type(model).__name__} cannot be exported: expected a '
        'Faster R-CNN of MMDetection or an ImageClassifier of MMPretrain.'
    )


def export(model, images):
    """Export to ONNX.

    Args:
        model (nn.Module): As of :func:`make_exportable`.
        images (Tensor): An example (B, 3, H, W).

    Returns:
        bytes: The content of an ONNX file.

    Raises:
        SystemExit: If a package is not installed.
    """
    for package in ('onnx', 'onnxruntime'):
        if find_spec(package) is None:
            raise SystemExit(
                f'error: The package {package} is not installed: run '
                '`pip install onnx onnxruntime`.'
            )
    content = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # The warnings are about the input size becoming fixed, negative
        # indices, which do not occur, and the newer exporter, which fails on
        # these detectors. `check` finds what is really wrong.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            (images,),
            content,
            input_names=['images'],
            output_names=list(model.outputs),
            opset_version=OPSET,
            dynamic_axes=model.dynamic_axes,
            dynamo=False,
        )
    return content.getvalue()


def open_session(content):
    """Load an ONNX file.

    Args:
        content (bytes): Of the file.

    Returns:
        Callable: Maps images (B, 3, H, W) to a dict of tensors.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        content, providers=['CPUExecutionProvider']
    )
    names = [output.name for output in session.get_outputs()]

    def run(images):
        found = session.run(None, dict(images=images.float().numpy()))
        return dict(zip(names, map(torch.from_numpy, found)))

    return run


def read_prediction(sample):
    """The prediction of an OpenMMLab model, in pixels of its input.

    Args:
        sample (DetDataSample | DataSample): With a prediction.

    Returns:
        dict[str, Tensor]: As the exported model returns it.
    """
    if 'pred_score' in sample:
        return dict(scores=sample.pred_score[None])
    found = sample.pred_instances
    scale = found.bboxes.new_tensor(sample.scale_factor).repeat(2)
    return dict(
        boxes=found.bboxes * scale, scores=found.scores, labels=found.labels
    )


def compare(found, wanted):
    """Compare two predictions for one image.

    Two boxes agree if their labels are equal and they differ by at most
    `BOX_TOLERANCE` and `SCORE_TOLERANCE`. Order does not matter: boxes with
    equal scores may swap places.

    Args:
        found (dict[str, Tensor]): Of the exported model.
        wanted (dict[str, Tensor]): Of the model itself.

    Returns:
        tuple[int, int]: Number of boxes, or images, that agree; number of
        boxes of the model that has more.
    """
    if 'boxes' not in wanted:
        errors = (found['scores'] - wanted['scores']).abs()
        return int(errors.max() <= SCORE_TOLERANCE), 1
    free = torch.ones(len(found['boxes']), dtype=torch.bool)
    for box, score, label in zip(
        wanted['boxes'], wanted['scores'], wanted['labels']
    ):
        partners = free & (found['labels'] == label)
        partners &= (found['scores'] - score).abs() <= SCORE_TOLERANCE
        partners &= (found['boxes'] - box).abs().amax(1) <= BOX_TOLERANCE
        free[partners.nonzero()[:1]] = False
    return int((~free).sum()), max(len(free), len(wanted['boxes']))


def build_reference(cfg):
    """Build the model by MMEngine's runner, as in tools/test.py.

    Args:
        cfg (Config): The whole config.

    Returns:
        nn.Module: With random weights, in eval mode.
    """
    with TemporaryDirectory() as folder:
        kept = {key: cfg[key] for key in MODEL_KEYS if key in cfg}
        # By its name MMEngine would find the visualizer, and the folder, of
        # another runner that was built in the same second.
        kept.update(work_dir=folder, experiment_name=Path(folder).name)
        runner = Runner.from_cfg(Config(dict(kept, log_level='ERROR')))
    return runner.model.cpu().eval()


def check(model, run, loader, shape, count):
    """Compare both models on images of one shape.

    Args:
        model (nn.Module): As of :func:`build_reference`, with the weights.
        run (Callable): As of :func:`open_session`.
        loader (Iterable): Batches of one image.
        shape (torch.Size): Shape (3, H, W) of the images to take.
        count (int): Largest number of images.

    Returns:
        tuple[int, int, int]: Number of boxes, or images, that agree; number
        of all; number of images.
    """
    agree = total = images = 0
    for data in loader:
        if images == count:
            break
        image = data['inputs'][0]
        if image.shape != shape:
            continue
        found = run(image[None])
        with torch.no_grad():
            wanted = read_prediction(model.test_step(data)[0])
        numbers = compare(found, wanted)
        agree, total = agree + numbers[0], total + numbers[1]
        images += 1
    return agree, total, images


def parse_args():
    parser = build_parser(__doc__.split('\n')[0])
    parser.add_argument('checkpoint', help='path or URL of the weights')
    parser.add_argument(
        '--out',
        default='student.onnx',
        help='file to write (default: %(default)s)',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=20,
        help='number of test images to compare (default: %(default)s)',
    )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    with safe_loading(args.trust_checkpoint):
        export_and_compare(args)


def export_and_compare(args):
    """Export, compare, and write the file if both agree."""
    cfg = load_config(args)
    check_start(cfg, 'model', 'test_dataloader')
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise SystemExit(
            f'error: The checkpoint {args.checkpoint!r} was not found: '
            'give the path or URL of trained weights.'
        )
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model, reference = model_of(cfg).eval(), build_reference(cfg)
    content = CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu')
    state, _ = split_checkpoint(content, args.checkpoint)
    for one in (model, reference):
        load_strictly(one, state, args.checkpoint, role='model')
    exportable = make_exportable(model)

    cfg.test_dataloader.batch_size = 1
    loader = Runner.build_dataloader(cfg.test_dataloader)
    image = next(iter(loader))['inputs'][0]
    with working('exporting'):
        exported = export(exportable, image[None].float())
    with working('comparing test images'):
        agree, total, images = check(
            reference, open_session(exported), loader, image.shape, args.images
        )
    kind = 'boxes' if 'boxes' in exportable.outputs else 'predictions'
    report = (
        f'{agree} of {total} {kind} in {images} test images of '
        f'{" x ".join(map(str, image.shape))} are those of PyTorch'
    )
    if not total or agree < LEAST_AGREEMENT * total:
        raise SystemExit(
            f'error: Only {report}: nothing was written. Compare more by '
            '--images if it is few; docs/export.md says what is not exported.'
        )
    write_bytes(args.out, exported)
    print(f'{args.out}: {report}.')


if __name__ == '__main__':
    main()
