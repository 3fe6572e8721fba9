"""All commands that bring a row of docs/errors.md about."""

from tests.errors import (  # noqa: F401
    rows_of_the_checkpoint,
    rows_of_the_command,
    rows_of_the_data,
    rows_of_the_hook,
    rows_of_the_pair,
    rows_of_the_teacher,
)
from tests.helpers.errors_page import CASES  # noqa: F401
