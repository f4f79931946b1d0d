"""Run each scenario on each transport: the store in process, clients of an application and of a listening daemon."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from opstore_cli import OpStoreClient
from opstore_cli.client.mixin import ignore
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Resolution
from opstore_daemon.savers import FileSaver, MemorySaver
from opstore_daemon.testing import serving
from tests.scenarios import EVERY_SCENARIO, Scenario, Scene
from tests.support import places
from tests.support.in_process import InProcessClient
from tests.support.places import Place


class _ReturnsNoResolution:
    """A client whose `resolve` returns a resolution without versions, as the store does, in place of NoResolution."""

    def resolve(self, *given: Any, **named: Any) -> Resolution:
        try:
            found: Resolution = super().resolve(*given, **named)  # type: ignore[misc]
        except errors.NoResolution as error:
            found = error.resolution
        return found


class _InProcess(_ReturnsNoResolution, InProcessClient): ...


class _OverHttp(_ReturnsNoResolution, OpStoreClient): ...


@contextmanager
def in_memory(_folder: Path) -> Iterator[Scene]:
    """Open a store in process, in memory, whose queries return rows in reverse unless they ask for an order.

    PostgreSQL promises none either, but seldom shows it.
    """
    saver = MemorySaver()
    event.listen(Engine, "connect", _reverse)
    try:
        with closing(OpStoreServer(saver)) as server:
            yield Scene(server.store, server, saver)
    finally:
        event.remove(Engine, "connect", _reverse)


def _reverse(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA reverse_unordered_selects = ON")


@contextmanager
def in_process(_folder: Path) -> Iterator[Scene]:
    """Open a client that calls the application without a network, on a store in memory."""
    saver = MemorySaver()
    with closing(OpStoreServer(saver)) as server:
        client = _InProcess(server)
        client.warn = client.warn_not_recorded = ignore
        yield Scene(client, server, saver)


@contextmanager
def over_http(folder: Path) -> Iterator[Scene]:
    """Open a client of a listening daemon with a store on files."""
    saver = FileSaver(folder / "blobs")
    with (
        serving(folder, saver=saver) as running,
        _OverHttp(running.url, token=running.token, warn=ignore) as client,
    ):
        client.warn_not_recorded = ignore
        yield Scene(client, running.server, saver)


@contextmanager
def remotely(place: Place) -> Iterator[Scene]:
    """Open a store in process, in PostgreSQL and an object store."""
    with closing(place.open()) as server:
        yield Scene(server.store, server, server.store.saver)


@contextmanager
def remotely_over_http(place: Place) -> Iterator[Scene]:
    """Open a client of a listening daemon with a store in PostgreSQL and an object store."""
    with (
        closing(place.open()) as server,
        Listener(server) as listener,
        _OverHttp(listener.url, token=server.token, warn=ignore) as client,
    ):
        client.warn_not_recorded = ignore
        yield Scene(client, server, server.store.saver)


Transport = Callable[[Path], AbstractContextManager[Scene]]
TRANSPORTS: dict[str, Transport] = {"memory": in_memory, "process": in_process, "http": over_http}
REMOTE = {"remote": remotely, "remote_http": remotely_over_http}


SHARES = {"memory": 1, "process": None, "http": 4, "remote": 10, "remote_http": 10}
"""Of how many scenarios `make test` runs one."""


class Scenes:
    """The scenes, each opened when the first scenario asks for it: opening one takes longer than most scenarios."""

    def __init__(self, request: pytest.FixtureRequest, folders: pytest.TempPathFactory, stack: ExitStack) -> None:
        self._request, self._folders, self._stack = request, folders, stack
        self._opened: dict[str, Scene] = {}

    def open(self, transport: str) -> Scene:
        """Return the scene of this transport."""
        if transport not in self._opened:
            self._opened[transport] = scene = self._stack.enter_context(self._enter(transport))
            scene.forget_durability()
        return self._opened[transport]

    def _enter(self, transport: str) -> AbstractContextManager[Scene]:
        if transport in TRANSPORTS:
            return TRANSPORTS[transport](self._folders.mktemp(transport))
        place = self._stack.enter_context(places.opened(places.REMOTE, self._request))
        return REMOTE[transport](place)


@pytest.fixture(scope="module")
def scenes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenes]:
    """Return the scenes that the scenarios share."""
    with ExitStack() as stack:
        yield Scenes(request, tmp_path_factory, stack)


def cases() -> Iterator[Any]:
    """Yield each scenario with each transport.

    The slow ones are in `make test-all` only. `make test` runs all in memory, a quarter over HTTP, and a tenth in
    PostgreSQL and an object store.
    """
    for scenario in EVERY_SCENARIO:
        for transport, share in SHARES.items():
            name = f"{scenario.__name__}-{transport}"
            is_slow = share is None or not places.is_sampled(name, share)
            marks = [pytest.mark.slow] if is_slow else []
            yield pytest.param(scenario, transport, id=name, marks=marks)


@pytest.mark.parametrize(("scenario", "transport"), list(cases()))
def test_scenario(scenario: Scenario, transport: str, scenes: Scenes) -> None:
    scene = scenes.open(transport)
    scene.empty()
    scenario(scene)
