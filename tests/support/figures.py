"""The sizes of a test: a tenth of its figure in `make test`, all of it in `make test-all`."""

import pytest
from _pytest.mark.structures import ParameterSet


def figures(full: int) -> list[ParameterSet]:
    """Return the parameters of a test whose figure is `full`; the full one is slow."""
    return [pytest.param(full // 10, id="tenth"), pytest.param(full, id="full", marks=pytest.mark.slow)]
