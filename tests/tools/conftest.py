from tests.helpers.benchmarks import run_benchmark  # noqa: F401
from tests.helpers.commands import teachers, world  # noqa: F401
from tests.helpers.sweep_logs import make_job  # noqa: F401
from tests.helpers.sweeps import do, place  # noqa: F401
