"""Computations that several losses share."""

__all__: list[str] = []
