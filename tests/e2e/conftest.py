"""Fixtures of the tests of the whole program: machines, and what a connection leads to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.machines import Machine, a_machine, stock
from tests.support.wire import Stranger, Wire


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which nothing runs yet."""
    with a_machine(tmp_path / "machine") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Machine]:
    """Another machine."""
    with a_machine(tmp_path / "other") as made:
        yield made


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a stocked store; tests that share it only read."""
    with a_machine(tmp_path_factory.mktemp("stocked") / "machine") as made:
        stock(made)
        yield made


@pytest.fixture
def strangers() -> Iterator[Callable[..., Stranger]]:
    """Makes servers that are no daemons."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(Stranger(*given, **options))


@pytest.fixture
def wire(machine: Machine) -> Iterator[Wire]:
    """A line to the machine's daemon."""
    machine.do("start")
    with Wire(machine) as made:
        yield made
