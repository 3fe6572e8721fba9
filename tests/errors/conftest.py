from tests.helpers.commands import teachers, world  # noqa: F401
