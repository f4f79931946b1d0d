"""The daemon's process with a database in PostgreSQL."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from opstore_daemon import config
from opstore_daemon.backup.home import RestoredHome
from opstore_daemon.protocol import errors
from tests.support.waiting import wait_for


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the daemon's program to its end."""
    command = [sys.executable, "-P", "-m", "opstore_daemon", *words]
    environment = {**os.environ, "OPSTORE_HOME": str(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_schema_is_created_and_shown(tmp_path: Path, postgres_url: str) -> None:
    shown = [run(tmp_path, "db", word, "--db", postgres_url) for word in ("current", "upgrade", "upgrade", "current")]
    assert [each.stdout for each in shown] == [
        "none (this opstore needs 0012)\n",
        "upgraded the schema from none to 0012\n",
        "the schema is already 0012\n",
        "0012 (this opstore needs 0012)\n",
    ]
    assert {each.returncode for each in shown} == {0}


@pytest.mark.slow
def test_a_backup_of_files_is_refused_with_what_to_use(tmp_path: Path, postgres_url: str) -> None:
    ended = run(tmp_path, "backup", "there", "--db", postgres_url)
    assert ended.returncode == 2
    where = r"the database is in a server, postgresql://127\.0\.0\.1:\d+/\w+; nothing was written"
    assert re.fullmatch(rf"error: {where}\nhint: back it up with pg_dump .*\n", ended.stderr)


def test_a_backup_can_not_be_restored_into_a_server(tmp_path: Path) -> None:
    settings = config.load({"OPSTORE_HOME": str(tmp_path)}, "postgresql://me:secret@db/ops")
    with pytest.raises(errors.BackupRefused, match="can't be restored into postgresql://db/ops;") as caught:
        RestoredHome(settings)
    assert caught.value.advice == "restore into files, without --db; then opstore migrate moves the store there"


def test_the_url_of_the_database_can_be_a_variable(tmp_path: Path) -> None:
    environ = {"OPSTORE_HOME": str(tmp_path), "OPSTORE_DB": "postgresql://db/ops"}
    assert config.load(environ).db_url == "postgresql://db/ops"
    assert config.load(environ, "sqlite:///other.db").db_url == "sqlite:///other.db"
    assert config.load({**environ, "OPSTORE_DB": ""}).db_url == f"sqlite:///{tmp_path / 'opstore.db'}"


def test_nobody_can_read_the_password_of_the_database(tmp_path: Path, postgres_url: str) -> None:
    secret = postgres_url.split(":")[2].split("@")[0]
    command = [sys.executable, "-P", "-m", "opstore_daemon", "serve", f"--db={postgres_url}"]
    environment = {**os.environ, "OPSTORE_HOME": str(tmp_path)}
    log = tmp_path / "daemon.log"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as daemon:
        try:
            wait_for(lambda: log.exists() and "listens at" in log.read_text())
            cmdline = Path(f"/proc/{daemon.pid}/cmdline")
            if cmdline.exists():
                assert b"opstore_daemon\0serve\0" in cmdline.read_bytes()
                assert secret.encode() not in cmdline.read_bytes()
        finally:
            daemon.terminate()
            output, _ = daemon.communicate(timeout=60)
    assert daemon.returncode == 0
    where = f"with its database in postgresql://127.0.0.1:{postgres_url.rpartition(':')[2]}, its bytes in"
    assert f"{where} {tmp_path / 'blobs'} and its log in {tmp_path}\n" in log.read_text()
    assert secret not in log.read_text() + output.decode()
