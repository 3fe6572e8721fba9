"""Checkpoint files, read without running code that they may hold."""
