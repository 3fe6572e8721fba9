import pytest

# Before they are imported, so that their asserts tell what they compared.
pytest.register_assert_rewrite('tests.helpers')

from tests.helpers.group import group  # noqa: E402, F401
