"""Run each scenario on each transport: the store in process, clients of an application and of a listening daemon."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.client.mixin import ignore
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Resolution
from opstore_daemon.savers import FileSaver, MemorySaver
from opstore_daemon.testing import serving
from tests.scenarios import EVERY_SCENARIO, Scenario, Scene
from tests.support.in_process import InProcessClient


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
    """Open a store in process, in memory."""
    saver = MemorySaver()
    with closing(OpStoreServer(saver)) as server:
        yield Scene(server.store, server, saver)


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


Transport = Callable[[Path], AbstractContextManager[Scene]]
TRANSPORTS: dict[str, Transport] = {"memory": in_memory, "process": in_process, "http": over_http}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    """Open each transport once, because starting them takes longer than most scenarios."""
    with ExitStack() as stack:
        entered = {
            name: stack.enter_context(transport(tmp_path_factory.mktemp(name)))
            for name, transport in TRANSPORTS.items()
        }
        for scene in entered.values():
            scene.forget_durability()
        yield entered


# What a client does in process, it does over HTTP too.
@pytest.mark.parametrize("transport", ["memory", pytest.param("process", marks=pytest.mark.slow), "http"])
@pytest.mark.parametrize("scenario", EVERY_SCENARIO, ids=[scenario.__name__ for scenario in EVERY_SCENARIO])
def test_scenario(scenario: Scenario, transport: str, scenes: dict[str, Scene]) -> None:
    scene = scenes[transport]
    scene.empty()
    scenario(scene)
