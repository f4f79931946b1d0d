"""The tests. A failed assertion in `tests.support` shows the values that it compared, as one in a test does."""

import pytest

pytest.register_assert_rewrite("tests.support")
