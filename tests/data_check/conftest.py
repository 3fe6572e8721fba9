from tests.errors.conftest import teachers, world  # noqa: F401
