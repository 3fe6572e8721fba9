"""The teacher: a frozen model with its config, speed, input and classes."""

from .teacher import Teacher

__all__ = ['Teacher']
