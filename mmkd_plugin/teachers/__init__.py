"""Who teaches: the frozen model, its config, speed, input and classes."""

from .teacher import Teacher

__all__ = ['Teacher']
