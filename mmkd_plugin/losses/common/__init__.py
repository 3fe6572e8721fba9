"""What several losses compute."""

__all__: list[str] = []
