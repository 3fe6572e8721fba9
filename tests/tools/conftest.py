from tests.sweeps import do, place  # noqa: F401
