#!/usr/bin/env python
"""Train the tokens of a teacher, which MasKD distils with.

    python tools/model_converters/train_mask_tokens.py CONFIG CHECKPOINT \\
        --out tokens.pth

CONFIG is that of the teacher's own training, of which model and training data
are used, and the clipping of gradients. The teacher is frozen, and each map of
its neck is replaced by what the tokens leave of it. The tokens learn to leave
what the teacher's own losses need, and to differ from each other.
"""

import io
import os
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader

from mmkd_plugin.arguments import check_integer, check_number, few
from mmkd_plugin.checkpoints.atomic import write_bytes
from mmkd_plugin.checkpoints.reading import load_strictly, split_checkpoint
from mmkd_plugin.checkpoints.unpickling import safe_loading
from mmkd_plugin.cli.errors import explain_errors
from mmkd_plugin.cli.launch import build_parser, check_start, load_config
from mmkd_plugin.cli.quiet_runner import QuietRunner, reading_data
from mmkd_plugin.datasets.check import check_data
from mmkd_plugin.distill.adopt import adopt
from mmkd_plugin.exceptions import (
    MMKDFileNotFoundError,
    MMKDOSError,
    MMKDRuntimeError,
    MMKDTypeError,
)
from mmkd_plugin.hooks import StartCheckHook
from mmkd_plugin.losses.common.mask_tokens import FILE_PREFIX, MaskTokens

# Height and width of an image that every neck has a place for at every level.
SIZE = (512, 512)
LOG_INTERVAL = 50


class TokensHook(Hook):
    """Trains tokens, and nothing else, on the maps of a model's neck.

    Args:
        num_tokens (int): Number T of tokens per level.
    """

    def __init__(self, num_tokens):
        self.num_tokens = num_tokens
        self.overlaps = []

    def before_run(self, runner):
        """Freeze the model, and give the tokens to the optimizer."""
        model = plain(runner.model)
        model.requires_grad_(False)
        self.channels = channels_of(model)
        self.tokens = nn.ModuleList(
            MaskTokens(channels, self.num_tokens) for channels in self.channels
        )
        adopt(runner, dict(tokens=self.tokens))
        model.neck.register_forward_hook(self._mask)
        model.register_forward_hook(self._add_overlap)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Have layers work as in a test, such as norms and dropout.

        The modules around them stay in the training mode, in which heads
        prepare what their losses need.
        """
        for module in runner.model.modules():
            if not any(module.children()):
                module.eval()

    def _mask(self, neck, args, maps):
        """Forward hook of the neck: replace its maps."""
        pairs = [
            tokens(part)
            for tokens, part in zip(self.tokens, maps, strict=True)
        ]
        self.overlaps += [overlap for _, overlap in pairs]
        return tuple(masked for masked, _ in pairs)

    def _add_overlap(self, model, args, losses):
        """Forward hook of the model: add the overlap of all levels."""
        overlaps, self.overlaps = self.overlaps, []
        return {**losses, 'loss_token_dice': torch.stack(overlaps).sum()}


def plain(model):
    """A model without the wrapper of several processes."""
    return model.module if is_model_wrapper(model) else model


@torch.no_grad()
def channels_of(model):
    """Channels of the maps of a model's neck.

    Args:
        model (nn.Module): Runs on a black image.

    Returns:
        list[int]: One number per level.

    Raises:
        TypeError: If it has no neck, or one that gives no maps.
    """
    name = type(model).__name__
    if getattr(model, 'neck', None) is None:
        raise MMKDTypeError(
            f'The teacher {name} has no `neck`, on whose maps the tokens are '
            'trained: give a detector with one, such as an FPN.'
        )
    found = []
    handle = model.neck.register_forward_hook(
        lambda neck, args, maps: found.append(maps)
    )
    device = next(model.parameters()).device
    try:
        model.eval().extract_feat(torch.zeros(1, 3, *SIZE, device=device))
    finally:
        handle.remove()
    (maps,) = found
    shapes = [
        tuple(getattr(part, 'shape', ()))
        for part in (maps if isinstance(maps, (list, tuple)) else [maps])
    ]
    if not isinstance(maps, (list, tuple)) or {4} != {*map(len, shapes)}:
        raise MMKDTypeError(
            f'Expected the {type(model.neck).__name__} of the teacher {name} '
            'to give a list of maps of shape (B, C, h, w) but got '
            f'{few(shapes)}: give a detector with a neck such as an FPN.'
        )
    return [shape[1] for shape in shapes]


def fill(model, checkpoint):
    """Load the teacher's weights, which replace all others.

    Args:
        model (nn.Module): Built from the teacher's config.
        checkpoint (str): Path or URL.

    Raises:
        FileNotFoundError, ValueError: If the file is missing, cannot be
            read, or does not fit.
    """
    content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    state, _ = split_checkpoint(content, checkpoint)
    state = {key.removeprefix('module.'): state[key] for key in state}
    load_strictly(model, state, checkpoint, role='model')
    # Otherwise the runner would initialise it, and download what for.
    for part in model.modules():
        if hasattr(part, 'init_cfg'):
            part.init_cfg = None
    model.is_init = True


def set_schedule(cfg, iterations, lr):
    """Replace the schedule and the hooks of a config, without validation.

    Args:
        cfg (Config): Of the teacher's training.
        iterations (int): How many to train.
        lr (float): The first learning rate.
    """
    for part in ('val', 'test'):
        for key in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{part}_{key}'] = None
    clip_grad = cfg.optim_wrapper.get('clip_grad')
    sgd = dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=sgd, clip_grad=clip_grad
    )
    cfg.param_scheduler = dict(
        type='CosineAnnealingLR', T_max=iterations, by_epoch=False
    )
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations)
    cfg.default_hooks = dict(
        checkpoint=None,
        logger=dict(type='LoggerHook', interval=min(LOG_INTERVAL, iterations)),
    )
    cfg.log_processor = dict(by_epoch=False)
    cfg.custom_hooks = []
    cfg.auto_scale_lr = cfg.load_from = cfg.model_wrapper_cfg = None
    cfg.resume = cfg.compile = False
    # A head may leave a level out.
    cfg.find_unused_parameters = True


def check_out(path):
    """Raise unless a file can be written, before the training."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MMKDFileNotFoundError(
            f'The folder of --out {path} does not exist: make it, or choose '
            'another.'
        )
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise MMKDOSError(
            f'The file --out {path} cannot be written: it is a folder, or '
            'lies in one that is read-only for this user; choose another.'
        )


def write(path, tokens, meta):
    """Write tokens to a file of `MasKDLoss`.

    Args:
        path (Path): The file.
        tokens (nn.ModuleList): A module per level.
        meta (dict): What else is known of them.

    Raises:
        RuntimeError: If they are not finite.
    """
    state = {
        f'{FILE_PREFIX}{name}': value.cpu()
        for name, value in tokens.state_dict().items()
    }
    if not all(value.isfinite().all() for value in state.values()):
        raise MMKDRuntimeError(
            'The trained tokens hold NaN or infinite values, so nothing was '
            'written: lower --lr.'
        )
    buffer = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), buffer)
    write_bytes(path, buffer.getvalue())


def parse_args():
    parser = build_parser(__doc__.split('\n')[0])
    parser.add_argument(
        'checkpoint', help="path or URL of the teacher's weights"
    )
    parser.add_argument(
        '--out',
        required=True,
        type=Path,
        metavar='FILE.pth',
        help='where the tokens go',
    )
    for name, default, text in (
        ('iters', 2000, 'iterations of the training'),
        ('lr', 0.1, 'learning rate at its start'),
        ('num-tokens', 6, 'tokens per level'),
    ):
        parser.add_argument(
            f'--{name}',
            type=type(default),
            default=default,
            help=f'{text} (default: {default})',
        )
    return parser.parse_args()


@explain_errors()
def main():
    args = parse_args()
    check_integer('--iters', args.iters, 1)
    check_integer('--num-tokens', args.num_tokens, 1)
    check_number('--lr', args.lr, 0, 100)
    check_out(args.out)
    with safe_loading(args.trust_checkpoint):
        train(args)


def train(args):
    """Train tokens as the options say, and write them."""
    cfg = load_config(args)
    if args.work_dir is None:
        # That of the teacher's training keeps its own config.
        cfg.work_dir = f'{cfg.work_dir}_tokens'
    check_start(cfg, 'model', 'train_dataloader', 'optim_wrapper')
    set_schedule(cfg, args.iters, args.lr)
    runner = QuietRunner.from_cfg(cfg)
    fill(plain(runner.model), args.checkpoint)
    hook = TokensHook(args.num_tokens)
    runner.register_hook(hook)
    runner.register_hook(StartCheckHook())
    with reading_data(runner):
        check_data(runner, 'train')
    runner.train()
    if is_main_process():
        meta = dict(
            teacher=Path(args.checkpoint).name,
            channels=hook.channels,
            num_tokens=args.num_tokens,
            iterations=args.iters,
        )
        write(args.out, hook.tokens, meta)
        print(f'The tokens are in {args.out}.')


if __name__ == '__main__':
    main()
