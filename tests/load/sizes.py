"""How much a test of load does: a small part in `make test`, all of it in `make test-all`."""

import os
import random

import pytest

from tests.support import examples

LONG = 3600  # seconds after which a test of full size is considered stuck


def at_sizes(name: str, full: int, small: int) -> pytest.MarkDecorator:
    """Pass the test the argument `name`: `small`, and in a run that is slow `full`."""
    marks = [pytest.mark.slow, pytest.mark.timeout(LONG)]
    return pytest.mark.parametrize(name, [small, pytest.param(full, marks=marks)])


def seed() -> int:
    """Return the seed of a run: always the same in `make test`, another one in each `make test-all`.

    OPSTORE_TEST_SEED repeats a run.
    """
    given = os.environ.get("OPSTORE_TEST_SEED")
    if given is not None:
        return int(given)
    return random.SystemRandom().randrange(1_000_000) if examples.is_all() else 7
