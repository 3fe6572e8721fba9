"""Models in a few words, and lines at the start of a log."""

from collections.abc import Iterator, Mapping

from torch import nn

# Attributes in which backbones of one type differ.
BACKBONE = ('depth', 'arch', 'base_channels', 'widen_factor')


def describe_model(model: nn.Module) -> str:
    """Type, backbone and size of a model, such as

    'FasterRCNN, ResNet depth=50, 41.348 M parameters'.
    """
    parts = [type(model).__name__, describe_backbone(model), size_of(model)]
    return ', '.join(filter(None, parts))


def describe_backbone(model: nn.Module) -> str:
    """Type of a model's backbone, and its depth or width; '' without one."""
    backbone = getattr(model, 'backbone', None)
    if backbone is None:
        return ''
    details = [
        f'{name}={value}'
        for name in BACKBONE
        if isinstance(value := getattr(backbone, name, None), (int, str))
    ]
    return f'{type(backbone).__name__} {", ".join(details)}'.strip()


def size_of(model: nn.Module) -> str:
    """Number of parameters in millions, frozen ones included."""
    count = sum(param.numel() for param in model.parameters())
    return f'{count / 1e6:.3f} M parameters'


def pretrained(cfg: object) -> Iterator[str]:
    """Checkpoints that the parts of a model are initialised from.

    Args:
        cfg: Config of the model.
    """
    if isinstance(cfg, Mapping):
        if cfg.get('type') == 'Pretrained':
            yield str(cfg['checkpoint'])
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from pretrained(value)


def as_lines(title: str, rows: Mapping[str, str]) -> str:
    """A title, and below it a line per name, aligned."""
    width = max(map(len, rows), default=0)
    lines = [f'    {name:<{width}}  {text}' for name, text in rows.items()]
    return '\n'.join([title, *lines])
