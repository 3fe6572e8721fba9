"""One step of distillation, without a runner."""

from .distiller import Distiller

__all__ = ['Distiller']
