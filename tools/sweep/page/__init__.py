"""The page of a sweep: one HTML file that needs no other and no network."""

from .write import write_page

__all__ = ['write_page']
