"""How the daemon starts, what it leaves in its home, and when it refuses to start."""

import json
import os
import platform
import re
import socket
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opstore_daemon.protocol import routes
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.records import VersionRecord
from tests.daemon.process.conftest import Start
from tests.support.daemon import Daemon, begin, environment, run
from tests.support.figures import few
from tests.support.file_modes import mode
from tests.support.schema import HEAD

pytestmark = pytest.mark.process


def test_the_runtime_file_exists_while_the_daemon_runs(start: Start) -> None:
    daemon = start(real=True)
    told = json.loads(daemon.runtime_file.read_text())
    keys = {"url", "port", "pid", "version", "started_at", "lock", "instance", "host", "pid_namespace", "token_file"}
    assert set(told) == keys
    assert told["lock"] == (daemon.home / "daemon.lock").stat().st_ino
    assert told["host"] == platform.node()
    assert told["url"] == daemon.url == f"http://127.0.0.1:{told['port']}"
    assert told["pid"] == daemon.process.pid == daemon.ready["pid"]
    assert told["version"] == __version__
    assert told["token_file"] == ""  # the one in the home
    assert datetime.fromisoformat(told["started_at"]) <= datetime.now(UTC)
    assert daemon.ask("GET", routes.HEALTH)[0] == 200
    status, response = daemon.ask("GET", routes.STATUS)
    assert (status, response["home"], response["pid"]) == (200, str(daemon.home), daemon.process.pid)
    assert daemon.stop() == 0
    assert not daemon.runtime_file.exists()


def test_only_its_owner_can_read_the_home(daemon: Daemon) -> None:
    daemon.push("pca", b"bytes")
    daemon.begin_upload()
    modes = {path.relative_to(daemon.home): mode(path) for path in daemon.home.rglob("*")}
    assert {Path("daemon.json"), Path("daemon.lock"), Path("daemon.log"), Path("token")} <= set(modes)
    assert {Path("opstore.db"), Path("opstore.db-wal"), Path("opstore.db-shm")} <= set(modes)
    assert mode(daemon.home) == 0o700
    for path, found in modes.items():
        assert found in (0o700,) if (daemon.home / path).is_dir() else found in (0o600, 0o400), path


def test_a_second_daemon_of_a_home_is_refused_with_the_url_of_the_first(daemon: Daemon) -> None:
    second = run(daemon.home, "serve")
    assert second.returncode == 5
    assert f"in use by the daemon at {daemon.url} (pid {daemon.process.pid})" in second.stderr
    assert "hint: opstore stop" in second.stderr
    assert json.loads(daemon.runtime_file.read_text())["pid"] == daemon.process.pid
    assert daemon.ask("GET", routes.HEALTH)[0] == 200


def test_an_upgrade_is_refused_while_a_daemon_runs(daemon: Daemon) -> None:
    upgrade = run(daemon.home, "db", "upgrade")
    assert upgrade.returncode == 5
    # Not only by the lock of the database, which has the same exit code and says less.
    assert f"in use by the daemon at {daemon.url} (pid {daemon.process.pid})" in upgrade.stderr


def test_a_killed_daemon_releases_its_home(start: Start) -> None:
    first = start()
    first.kill()
    assert first.runtime_file.exists()
    second = start()
    assert json.loads(second.runtime_file.read_text())["pid"] == second.process.pid


def test_a_stale_runtime_file_is_deleted_even_if_the_next_daemon_fails(start: Start) -> None:
    first = start()
    first.kill()
    assert run(first.home, "serve", "--host", "0.0.0.0").returncode == 8  # noqa: S104 - it is refused
    assert not first.runtime_file.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])  # noqa: S104 - refused
def test_it_listens_on_no_public_address(home: Path, host: str) -> None:
    refused = run(home, "serve", "--host", host)
    assert refused.returncode == 8
    assert f"the daemon does not listen on {host}" in refused.stderr
    assert not (home / "daemon.json").exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--db", "mysql://h/d"], {}, "--db: mysql is not supported"),
        (["--db", "opstore.db"], {}, "--db: 'opstore.db' is not a database URL"),
        (["--saver", "gs://bucket"], {}, "--saver: 'gs://bucket' is not"),
        (["--saver", "file://elsewhere/x"], {}, "--saver: "),
        (["--saver", "blobs"], {}, "--saver: "),
        (["--allow-host", "https://a.example"], {}, "--allow-host: 'https://a.example' is not a host name"),
        (["--allow-host", "a.example/x"], {}, "--allow-host: "),
        ([], {"OPSTORE_IDLE_TIMEOUT": "soon"}, "OPSTORE_IDLE_TIMEOUT: 'soon' is not a duration"),
        ([], {"OPSTORE_IDLE_TIMEOUT": "-1s"}, "OPSTORE_IDLE_TIMEOUT: "),
        ([], {"OPSTORE_IDLE_TIMEOUT": "\udcff\x1b[1m"}, r"OPSTORE_IDLE_TIMEOUT: '\xff\x1b[1m' is not a duration"),
        (["--port", "65536"], {}, "--port"),
        (["--host", "example.com", "--behind-proxy"], {}, "--host: 'example.com' is not an address such as"),
        (["--colour", "red"], {}, "No such option"),
    ],
)
def test_an_invalid_setting_is_refused(home: Path, arguments: list[str], environ: dict[str, str], words: str) -> None:
    refused = run(home, "serve", *arguments, **environ)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("what", "arguments"), [("", ["serve"]), ("token", ["serve"]), ("", ["db", "upgrade"])])
def test_an_unusable_home_is_refused(home: Path, what: str, arguments: list[str]) -> None:
    if what:
        (home / what).mkdir(parents=True)
    else:
        home.write_text("a file")
    refused = run(home, *arguments)
    assert refused.returncode == 2
    assert f"OPSTORE_HOME: {home / what} can't be used" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_in_use_is_refused(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run(home, "serve", "--port", str(port))
    assert refused.returncode == 2
    assert f"port {port} of 127.0.0.1 can't be used: Address already in use" in refused.stderr


def test_it_listens_on_a_given_port_and_on_ipv6_loopback(start: Start) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    daemon = start("--port", str(port))
    assert daemon.url == f"http://127.0.0.1:{port}"
    assert daemon.stop() == 0
    if os.path.exists("/proc/net/if_inet6"):
        assert start("--host", "::1").ask("GET", routes.HEALTH)[0] == 200


def test_the_ready_pipe_reports_why_the_daemon_did_not_start(start: Start) -> None:
    told = start("--saver", "gs://bucket").ready
    assert (set(told), told["code"]) == ({"error", "code", "hint"}, "InvalidSetting")
    assert told["error"].startswith("--saver: ")


def test_the_token_is_created_once(start: Start) -> None:
    first = start()
    token = first.token
    assert len(token) >= 40
    assert mode(first.home / "token") == 0o600
    first.stop()
    second = start()
    assert second.token == token
    assert second.ask("GET", routes.STATUS)[0] == 200
    assert second.ask("GET", routes.STATUS, Authorization="Bearer " + "x" * 43)[0] == 401


def test_the_permissions_of_the_token_are_restored(start: Start) -> None:
    first = start()
    first.stop()
    (first.home / "token").chmod(0o644)
    start()
    assert mode(first.home / "token") == 0o600


def test_a_token_file_without_a_token_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "token").write_text("short\n")
    refused = run(home, "serve")
    assert refused.returncode == 2
    assert "it contains no valid token; delete the file to get a new one" in refused.stderr


def test_the_log_has_the_ids_of_requests_and_never_the_token(daemon: Daemon) -> None:
    daemon.push("pca", b"bytes")
    daemon.ask("GET", routes.STATUS, Opstore_Request_Id="asked-by-test-7")
    daemon.ask("GET", f"{routes.STATUS}?token={daemon.token}")
    daemon.ask("GET", routes.STATUS, Authorization=f"Bearer {daemon.token}x")
    daemon.ask("GET", "/v1/nowhere")
    daemon.stop()
    log = (daemon.home / "daemon.log").read_text()
    assert f"listens at {daemon.url}" in log
    assert "asked-by-test-7 GET /v1/status 200" in log
    assert "POST /v1/ops/pca/versions 201" in log
    assert log.rstrip().endswith("stopped")
    assert daemon.token not in log


def test_a_restart_keeps_everything(start: Start) -> None:
    first = start()
    pushed = first.push("pca", b"bytes", valid_for=["forest@any"], new_ops="major", labels={"k": "v"})
    assert first.stop() == 0
    second = start()
    assert second.pull("pca") == b"bytes"
    status, shown = second.ask("GET", routes.path(routes.VERSION, op="pca", selector="1.0.0"))
    assert (status, shown) == (200, {key: pushed[key] for key in VersionRecord.__struct_fields__ if key in pushed})
    assert second.ask("GET", routes.LINKS)[1]["links"] == pushed["links"]
    assert second.push("pca", b"more")["version"] == "1.0.1"


def test_it_accepts_the_allowed_hosts_and_no_others(start: Start) -> None:
    daemon = start("--allow-host", "Models.example.com", "--allow-host", "other.example:8443")

    def status(host: str) -> int:
        with socket.create_connection(("127.0.0.1", int(daemon.ready["url"].rpartition(":")[2]))) as sock:
            sock.sendall(f"GET {routes.READY} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return int(sock.makefile("rb").readline().split()[1])

    assert [status(host) for host in ("models.example.com", "other.example:8443", "127.0.0.1:1", "evil.example")] == [
        200,
        200,
        403,
        403,
    ]


def test_database_and_blobs_can_be_elsewhere(start: Start, tmp_path: Path) -> None:
    db, blobs = tmp_path / "elsewhere.db", tmp_path / "some blobs"
    daemon = start("--db", f"sqlite:///{db}", "--saver", blobs.as_uri())
    daemon.push("pca", b"bytes")
    assert db.exists()
    assert len(list((blobs / "blobs").rglob("*"))) == 2
    assert not (daemon.home / "opstore.db").exists()
    assert not (daemon.home / "blobs").exists()


def test_a_home_with_odd_characters_works(tmp_path: Path) -> None:
    home = tmp_path / "my data #1 50% é"
    daemon = Daemon.start(home)
    try:
        daemon.push("pca", b"bytes")
        assert daemon.pull("pca") == b"bytes"
        assert (home / "opstore.db").exists()
    finally:
        daemon.kill()


def test_a_home_with_a_question_mark_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "what?"
    refused = run(home, "serve")
    assert refused.returncode == 2
    assert "OPSTORE_HOME: " in refused.stderr
    assert not (tmp_path / "what").exists()


# --- the schema ---------------------------------------------------------------------------------------------------


def test_the_schema_can_be_shown_and_upgraded_without_a_daemon(home: Path) -> None:
    before = run(home, "db", "current")
    assert (before.returncode, before.stdout) == (0, f"none (this opstore needs {HEAD})\n")
    assert not home.exists()
    made = run(home, "db", "upgrade")
    assert (made.returncode, made.stdout) == (0, f"upgraded the schema from none to {HEAD}\n")
    assert run(home, "db", "upgrade").stdout == f"the schema is already {HEAD}\n"
    assert run(home, "db", "current").stdout == f"{HEAD} (this opstore needs {HEAD})\n"
    assert mode(home) == 0o700
    assert {mode(path) for path in home.iterdir() if path.is_file()} == {0o600}


def test_the_schema_can_be_shown_while_a_daemon_runs(daemon: Daemon) -> None:
    assert run(daemon.home, "db", "current").stdout == f"{HEAD} (this opstore needs {HEAD})\n"


@pytest.mark.parametrize(
    ("release", "advice", "reads"),
    [("12.1.0", "install opstore 12.1.0 or later", "; opstore 12.1.0 or later reads it"), (None, "update opstore", "")],
)
def test_a_newer_schema_is_refused_with_both_revisions_and_its_release(
    start: Start, release: str | None, advice: str, reads: str
) -> None:
    first = start()
    first.push("pca", b"bytes")
    first.stop()
    connection = sqlite3.connect(first.home / "opstore.db")
    connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.execute("UPDATE store SET release = ?", (release,))
    connection.commit()
    connection.close()
    for arguments in (["serve"], ["db", "upgrade"]):
        refused = run(first.home, *arguments)
        assert refused.returncode == 9
        assert f"the database has the schema 0999, which is newer than this opstore ({HEAD})" in refused.stderr
        assert f"hint: {advice}\n" in refused.stderr
    assert run(first.home, "db", "current").stdout == f"0999 (this opstore needs {HEAD}{reads})\n"
    told = json.loads(run(first.home, "db", "--json", "current").stdout)
    assert told == {"schema": "0999", "needed": HEAD, "release": release}
    assert not first.runtime_file.exists()


def test_a_file_that_is_no_database_is_a_database_error(home: Path) -> None:
    home.mkdir()
    (home / "opstore.db").write_bytes(b"this is no database at all" * 100)
    refused = run(home, "serve")
    assert refused.returncode == 9
    assert "the database failed" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("descriptor", ["junk", "99"])
def test_an_invalid_ready_pipe_does_not_hide_the_error(home: Path, descriptor: str) -> None:
    refused = run(home, "serve", "--saver", "nowhere", OPSTORE_READY_FD=descriptor)
    assert refused.returncode == 2
    assert "--saver: " in refused.stderr


FAILING = """
import sys
from opstore_daemon import __main__, daemon
def fail(*_, **__):
    raise RuntimeError("a bug")
daemon.serve = daemon.current = fail
sys.argv = ["opstore", *sys.argv[1:]]
__main__.run()
"""


@pytest.mark.parametrize("words", few(1, [["serve"], ["db", "current"]]))
def test_an_error_that_nobody_expected_exits_70_with_a_reference(home: Path, words: list[str]) -> None:
    command = [sys.executable, "-c", FAILING, *words]
    ended = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    assert ended.returncode == 70
    assert re.search(r"error: an internal error, with the reference [0-9a-f]{12}\n", ended.stderr)
    assert "RuntimeError: a bug" in ended.stderr, "there is no log yet"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="requires /dev/full")
@pytest.mark.parametrize("words", [("db", "upgrade"), ("db", "current")])
def test_a_standard_output_that_is_full_exits_9(home: Path, words: tuple[str, ...]) -> None:
    with (
        open("/dev/full", "w") as full,
        begin(home, words, environment(home), stdout=full, stderr=subprocess.PIPE) as process,
    ):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 9
    assert err == b"error: standard output can't be written: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="requires /dev/full")
def test_a_standard_error_that_is_full_neither_ends_the_daemon_nor_changes_its_exit_code(home: Path) -> None:
    with open("/dev/full", "w") as full:
        with begin(home, ["serve", "--saver", "gs://bucket"], environment(home), stderr=full) as process:
            assert process.wait(60) == 2
        reader, writer = os.pipe()
        environ = environment(home, OPSTORE_READY_FD=str(writer))
        with begin(home, ["serve"], environ, pass_fds=[writer], stderr=full) as process:
            os.close(writer)
            with open(reader) as ready:
                url = json.loads(ready.readline())["url"]
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
                process.terminate()
            assert process.wait(60) == 0
