"""Several daemons of one store, each a process with a home of its own, and what a test does to them."""

import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from tests.support.balancer import Choice, ConnectionBalancer, RequestBalancer
from tests.support.daemon import Daemon
from tests.support.private_server import free_ports


class Fleet:
    """`count` daemons on one database and one bucket, with one token.

    `places` are the URLs of `--db` and `--saver`; `environ` are more variables of the daemons, such as the credentials
    of the bucket, and `environ_of` those of one of them. The balancers have ports that are known from the beginning,
    since the daemons have to accept their names.
    """

    def __init__(
        self,
        folder: Path,
        places: tuple[str, str],
        environ: Mapping[str, str],
        count: int = 3,
        *,
        environ_of: Callable[[int], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self.folder, self.places, self.count = folder, places, count
        self.token = secrets.token_urlsafe(32)
        self.kills = 0
        self._environ, self._environ_of = dict(environ), environ_of
        ports = free_ports(count + 2)
        self.ports, (self._connection_port, self._request_port) = ports[:count], ports[count:]
        self._daemons: dict[int, Daemon] = {}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(self.token)

    def start(self, place: int, *arguments: str) -> Daemon:
        """Start a daemon, on the port that it had before."""
        names = [word for port in (self._connection_port, self._request_port) for word in _allowed(port)]
        db, saver = self.places
        words = ["--db", db, "--saver", saver, "--port", str(self.ports[place]), *names, *arguments]
        environ = {
            "OPSTORE_TOKEN_FILE": str(self.folder / "token"),
            "PYTHONWARNINGS": "default",  # those of the libraries of the database and the object store are not ours
            **self._environ,
            **self._environ_of(place),
        }
        daemon = Daemon.start(self.folder / f"home-{place}", words, (), False, **environ)
        self._daemons[place] = daemon
        assert "url" in daemon.ready, daemon.ready
        return daemon

    def daemon(self, place: int) -> Daemon:
        """Return a daemon."""
        return self._daemons[place]

    def kill(self, place: int) -> None:
        """Kill a daemon (-9)."""
        self.kills += 1
        self._daemons[place].kill()

    def log(self, place: int) -> str:
        """Return what a daemon has logged."""
        return (self.folder / f"home-{place}" / "daemon.log").read_text()

    @contextmanager
    def killing(self, every: float, seed: int, at_most: int = 10_000) -> Iterator[None]:
        """Kill a random daemon every so many seconds during the context, but `at_most` so often, and start it again."""
        ended, chance = threading.Event(), random.Random(seed)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                while self.kills < at_most and not ended.wait(every):
                    place = chance.randrange(self.count)
                    self.kill(place)
                    self.start(place)
            except BaseException as error:  # noqa: BLE001 - the context raises it
                failures.append(error)

        thread = threading.Thread(target=run, name="killer")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if failures:
            raise failures[0]

    def by_connection(self, choose: Choice | None = None) -> ConnectionBalancer:
        """Return a balancer that chooses a daemon for each connection."""
        return ConnectionBalancer(self.ports, choose, port=self._connection_port)

    def by_request(self, choose: Choice | None = None) -> RequestBalancer:
        """Return a balancer that chooses a daemon for each request."""
        return RequestBalancer(self.ports, choose, port=self._request_port)

    def client(self, url: str, name: str = "client") -> OpStoreClient:
        """Return a client of a balancer or a daemon; `name` is its home."""
        settings = Settings(home=self.folder / name).with_url(url)
        return OpStoreClient(settings=settings, token=self.token)

    def __enter__(self) -> Self:
        """Start all daemons, the first one before the others: it creates the schema."""
        try:
            for place in range(self.count):
                self.start(place)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in self._daemons.values():
            with suppress(Exception):
                daemon.process.kill()
        for daemon in self._daemons.values():
            daemon.ends()


def _allowed(port: int) -> Sequence[str]:
    return ["--allow-host", f"127.0.0.1:{port}"]


def each(places: int) -> Iterator[int]:
    """Yield the places of the daemons in turn, without end."""
    while True:
        yield from range(places)


Work = Callable[[OpStoreClient, int], Any]


def in_threads(fleet: Fleet, url: str, count: int, work: Work) -> list[Any]:
    """Have `count` clients work at the same time, each with its number; return what they return.

    Raises the first error.
    """
    results: list[Any] = [None] * count
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with fleet.client(url, f"client-{number}") as client:
                results[number] = work(client, number)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
