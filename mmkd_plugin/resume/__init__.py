"""Going on where a run stopped."""

from .exact_resume_hook import ExactResumeHook

__all__ = ['ExactResumeHook']
