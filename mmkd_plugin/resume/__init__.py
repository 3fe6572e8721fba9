"""Resuming a run exactly where it stopped."""

from .exact_resume_hook import ExactResumeHook

__all__ = ['ExactResumeHook']
