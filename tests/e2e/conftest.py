"""Fixtures of the end-to-end tests: machines, foreign servers and a proxy."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.machines import Machine, a_machine, stock
from tests.support.wire import Stranger, Wire

# Tests of what commands do; the other folders are about processes, too.
IN_PROCESS = {"importers", "login", "transfer", "validity"}


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return a machine without a running daemon."""
    with a_machine(tmp_path / "machine", in_process=request.path.parent.name in IN_PROCESS) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return another machine."""
    with a_machine(tmp_path / "other", in_process=request.path.parent.name in IN_PROCESS) as made:
        yield made


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Return a machine with a filled store. Tests share it and may only read."""
    in_process = request.path.parent.name in IN_PROCESS
    with a_machine(tmp_path_factory.mktemp("stocked") / "machine", in_process=in_process) as made:
        stock(made)
        yield made


@pytest.fixture
def strangers() -> Iterator[Callable[..., Stranger]]:
    """Return a factory of servers other than daemons."""
    with ExitStack() as stack:
        yield lambda *given, **options: stack.enter_context(Stranger(*given, **options))


@pytest.fixture
def wire(machine: Machine) -> Iterator[Wire]:
    """Return a proxy in front of the machine's daemon."""
    machine.do("start")
    with Wire(machine) as made:
        yield made
