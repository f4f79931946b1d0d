"""What a test takes: a tenth of its figure or one of several cases in `make test`, all in `make test-all`."""

import pytest
from _pytest.mark.structures import ParameterSet


def figures(full: int, small: int | None = None) -> list[ParameterSet]:
    """Return the parameters of a test whose figure is `full`: `small` (by default a tenth), and the full one, slow."""
    return [pytest.param(small or full // 10, id="part"), pytest.param(full, id="full", marks=pytest.mark.slow)]


def some(fast: str, *others: str) -> list[ParameterSet]:
    """Return the parameters of a test, of which all but the first are slow."""
    return [pytest.param(fast), *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
