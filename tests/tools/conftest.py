from tests.benchmarks import run_benchmark  # noqa: F401
from tests.sweeps import do, place  # noqa: F401
