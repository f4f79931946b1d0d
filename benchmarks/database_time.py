"""Measure what pushes cost PostgreSQL: processor time, transactions, and the statements of a push.

Clients push 4 KiB onto one op, over the daemons in turn; `--kill SECONDS` kills a random daemon so often. PostgreSQL is
a private server with the module pg_stat_statements, whose own cost is part of the figures; the object store is a
SeaweedFS. The time of the first statement includes the wait for the lock.
"""

import argparse
import contextlib
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.daemon import TICKS
from benchmarks.measuring import KIB, show
from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.track_planning": "on",
}
WIDTH = 44  # characters of a statement


def processor_seconds(pid: int) -> dict[str, float]:
    """Return the processor time of the server's processes: of sessions, of those that have ended, and of others."""
    found = {"ended": 0.0, "sessions": 0.0, "others": 0.0}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(path.parent.name) == pid:
                found["ended"] += sum(map(int, fields[13:15])) / TICKS
                found["others"] += sum(map(int, fields[11:13])) / TICKS
            elif int(fields[1]) == pid:
                title = path.with_name("cmdline").read_text()
                found["sessions" if " pushes " in title else "others"] += sum(map(int, fields[11:13])) / TICKS
    return found


def query(server: "Postgres", database: str, text: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, as superuser."""
    import psycopg

    with psycopg.connect(server.url(database).replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description is not None else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=1000, help="of all clients together (default: 1000)")
    parser.add_argument("--clients", type=int, default=8, help="default: 8")
    parser.add_argument("--daemons", type=int, default=2, help="default: 2")
    parser.add_argument("--kill", type=float, default=0.0, metavar="SECONDS", help="kill a daemon so often")
    parser.add_argument("--durable", action="store_true", help="PostgreSQL waits for its disk")
    asked = parser.parse_args()
    from tests.support.fleet import Fleet, in_threads
    from tests.support.object_store import ObjectStore
    from tests.support.postgres import Postgres

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd())))
        server = stack.enter_context(Postgres(durable=asked.durable, settings=SETTINGS))
        objects = stack.enter_context(ObjectStore())
        server.execute("CREATE DATABASE {}", "pushes")
        query(server, "postgres", "CREATE EXTENSION pg_stat_statements")
        bucket = stack.enter_context(objects.fresh_prefix())
        fleet = stack.enter_context(
            Fleet(folder / "fleet", (server.url("pushes"), bucket.url), bucket.environ, asked.daemons)
        )
        query(server, "postgres", "SELECT pg_stat_statements_reset()")
        commits, used, began = counted(server), processor_seconds(server.pid), time.monotonic()

        def push(client: OpStoreClient, number: int) -> None:
            for count in range(asked.pushes // asked.clients):
                done = False
                while not done:
                    with contextlib.suppress(errors.Unreachable, errors.Unavailable):
                        client.push("one", os.urandom(4 * KIB), fields={"minor": {"name": f"{number}-{count}"}})
                        done = True

        balancer = stack.enter_context(fleet.by_connection())
        with fleet.killing(asked.kill, 1) if asked.kill else contextlib.nullcontext():
            in_threads(fleet, balancer.url, asked.clients, push)
        took = time.monotonic() - began
        after = processor_seconds(server.pid)
        used = {kind: after[kind] - used[kind] for kind in after}
        time.sleep(1.1)  # until idle backends report what they counted
        commits = [after - before for after, before in zip(counted(server), commits, strict=True)]
        report(server, asked.pushes, took, used, commits, fleet.kills)


def counted(server: "Postgres") -> list[int]:
    """Return how many transactions were committed and rolled back, and how many sessions began."""
    text = "SELECT xact_commit, xact_rollback, sessions FROM pg_stat_database WHERE datname = 'pushes'"
    return list(query(server, "postgres", text)[0])


def report(
    server: "Postgres", pushes: int, took: float, used: dict[str, float], transactions: list[int], kills: int
) -> None:
    """Print the figures of a push, and its statements."""
    commits, rollbacks, sessions = transactions
    found = query(
        server,
        "postgres",
        "SELECT query, sum(calls)::int, sum(plans)::int, sum(total_plan_time), sum(total_exec_time)"
        " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = 'pushes'"
        " GROUP BY query ORDER BY sum(total_plan_time) + sum(total_exec_time) DESC",
    )
    rows = [
        (
            " ".join(text.split())[:WIDTH], f"{calls / pushes:.2f}", f"{plans / pushes:.2f}",
            f"{planning * 1000 / pushes:.0f}", f"{executing * 1000 / pushes:.0f}",
        )
        for text, calls, plans, planning, executing in found
    ]  # fmt: skip
    total = [f"{sum(row[place] for row in found) * factor / pushes:.2f}" for place, factor in ((1, 1), (2, 1))]
    times = [f"{sum(row[place] for row in found) * 1000 / pushes:.0f}" for place in (3, 4)]
    kinds = ", ".join(f"{kind} {seconds * 1000 / pushes:.2f}" for kind, seconds in used.items())
    processor = f"{sum(used.values()) * 1000 / pushes:.2f} ms of the processor a push ({kinds})"
    show(
        f"{pushes} pushes in {took:.0f} s, {kills} kills, load {os.getloadavg()[0]:.1f}; {processor}; "
        f"{commits / pushes:.2f} commits, {rollbacks / pushes:.2f} rollbacks a push, {sessions} sessions",
        ("a push", "calls", "plans", "µs planning", "µs executing"),
        [("all", *total, *times), *rows[:60]],
    )


if __name__ == "__main__":
    main()
