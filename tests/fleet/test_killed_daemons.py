"""Many clients push while daemons are killed: nothing that was acknowledged is lost, and no number is given twice."""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transfer.upload import PIECE
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from tests.support.figures import figures
from tests.support.fleet import Fleet, in_threads
from tests.support.random_bytes import random_bytes

if TYPE_CHECKING:
    from tests.support.object_store import ObjectStore
    from tests.support.postgres import Postgres

KIB, MIB = 1024, 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def database_figures(url: str) -> dict[str, float]:
    """Return what PostgreSQL counts for a database (pg_stat_database).

    `active`: seconds that its sessions executed statements, with the time that they waited for each other's locks.
    """
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute(
            "SELECT active_time / 1000, xact_commit, xact_rollback, deadlocks FROM pg_stat_database"
            " WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return dict(zip(("active", "commits", "rollbacks", "deadlocks"), map(float, row), strict=True))


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process and its children, also of those that have ended; 0 without /proc."""
    found = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(path.parent.name) == pid:
                found += sum(map(int, fields[11:15])) / TICKS
            elif int(fields[1]) == pid:
                found += sum(map(int, fields[11:13])) / TICKS
    return found


@pytest.fixture
def started(tmp_path: Path, postgres: "Postgres", object_store: "ObjectStore") -> Iterator[tuple[Fleet, str]]:
    """Three daemons that run, and the URL of their database."""
    with (
        postgres.store_database() as database,
        object_store.fresh_prefix() as bucket,
        Fleet(tmp_path / "fleet", (database, bucket.url), bucket.environ) as fleet,
    ):
        yield fleet, database


def push_until_done(client: OpStoreClient, name: str, data: bytes) -> str:
    """Push the bytes as the version that `name` identifies; return its number.

    On a busy machine the daemons of all attempts of a client may be killed: then it is called again, as its error says,
    and finds the version if an earlier attempt has made it.
    """
    while True:
        with contextlib.suppress(errors.Unreachable, errors.Unavailable):
            return client.push("one", data, fields={"minor": {"name": name}}).version


@pytest.mark.timeout(3600)  # of the full figure
@pytest.mark.parametrize("pushes", figures(16_000, 32))
def test_pushes_onto_one_op(started: tuple[Fleet, str], postgres: "Postgres", pushes: int) -> None:
    fleet, database = started
    clients, kills, pause = (64, 10_000, 2.0) if pushes > 1000 else (8, 2, 0.5)
    server = postgres.pid
    before, processor, began_at = database_figures(database), processor_seconds(server), time.monotonic()

    def push(client: OpStoreClient, number: int) -> dict[str, str]:
        made: dict[str, str] = {}
        for count in range(pushes // clients):
            data = b"%d of %d" % (count, number) + random_bytes(4 * KIB)
            made[push_until_done(client, f"{number}-{count}", data)] = digest_of(data)
        return made

    # The part ends after a few kills: on a busy machine, starts would take most of its time.
    with fleet.by_connection() as balancer, fleet.killing(pause, seed=pushes, at_most=kills):
        acknowledged = in_threads(fleet, balancer.url, clients, push)
    after = database_figures(database)
    used, load = processor_seconds(server) - processor, os.getloadavg()[0]
    counts = ", ".join(f"{name} {value - before[name]:.1f}" for name, value in after.items())
    print(  # noqa: T201 - what a long run is for
        f"{pushes} pushes in {time.monotonic() - began_at:.0f} s, {fleet.kills} kills, load {load:.0f}\n"
        f"PostgreSQL: {counts}, processor {used:.1f} s"
    )

    expected = {version: digest for made in acknowledged for version, digest in made.items()}
    assert sum(map(len, acknowledged)) == len(expected) == pushes, "no number was given twice"
    with fleet.client(fleet.daemon(0).url) as client:
        versions = client.versions("one")
        assert [version.sequence for version in versions] == list(range(pushes, 0, -1))
        assert {version.version: version.digest for version in versions} == expected
        report = client.fsck(read_data=True)
        assert report.clean, report.findings


class Stream(io.BytesIO):
    """Bytes that can be read once, as those of a pipe: the client sends them in several appends."""

    def seekable(self) -> bool:
        return False


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", figures(64 * MIB, 17 * MIB))
def test_pushes_of_which_each_append_goes_to_another_daemon(started: tuple[Fleet, str], size: int) -> None:
    fleet, _ = started
    clients, pushes = (4, 4) if size > 20 * MIB else (2, 1)

    def push(client: OpStoreClient, number: int) -> dict[str, str]:
        made: dict[str, str] = {}
        for count in range(pushes):
            data = random_bytes(size, seed=100 * number + count)
            made[client.push(f"large-{number}", Stream(data)).version] = digest_of(data)
        return made

    with fleet.by_request() as balancer, fleet.killing(every=2.0, seed=size):
        acknowledged = in_threads(fleet, balancer.url, clients, push)
    needed = clients * pushes * -(-size // PIECE)
    counted = f"{fleet.kills} kills, {balancer.appends()} appends in place of {needed}"
    print(f"{counted}, load {os.getloadavg()[0]:.0f}")  # noqa: T201 - what a long run is for
    assert needed <= balancer.appends() <= needed + clients * fleet.kills, "each kill costs a push one append at most"
    with fleet.by_connection() as connections, fleet.client(connections.url) as client:
        for number, made in enumerate(acknowledged):
            assert len(made) == pushes
            for version, digest in made.items():
                assert client.show(f"large-{number}@{version}").digest == digest
                assert digest_of(client.pull(f"large-{number}@{version}")) == digest
