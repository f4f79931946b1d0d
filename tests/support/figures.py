"""What a test takes: a tenth of its figure or one of several cases in `make test`, all in `make test-all`."""

from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def figures(full: int, small: int | None = None) -> list[ParameterSet]:
    """Return the parameters of a test whose figure is `full`: `small` (by default a tenth), and the full one, slow."""
    return [pytest.param(small or full // 10, id="part"), pytest.param(full, id="full", marks=pytest.mark.slow)]


def few(count: int, cases: Iterable[Any]) -> list[ParameterSet]:
    """Return the parameters of a test, tuples if it has several names, of which all but the first `count` are slow."""
    return [_parameter(case, is_slow=at >= count) for at, case in enumerate(cases)]


def _parameter(case: Any, *, is_slow: bool) -> ParameterSet:
    marks = [pytest.mark.slow] if is_slow else []
    if isinstance(case, ParameterSet):
        return case._replace(marks=[*case.marks, *marks])
    return pytest.param(*case if isinstance(case, tuple) else (case,), marks=marks)
