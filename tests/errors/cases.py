"""All commands that cause an error of docs/errors.md."""

from tests.errors import (  # noqa: F401
    cases_beyond_logits,
    cases_cache,
    cases_checkpoint,
    cases_command,
    cases_crd,
    cases_data,
    cases_detr,
    cases_hook,
    cases_methods,
    cases_student_and_teacher,
    cases_teacher,
)
from tests.helpers.errors_page import CASES  # noqa: F401
