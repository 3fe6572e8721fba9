from tests.helpers.benchmarks import run_benchmark  # noqa: F401
from tests.helpers.sweeps import do, place  # noqa: F401
