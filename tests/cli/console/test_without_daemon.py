"""Commands without a running daemon, and those that execute the daemon's program."""

import json
import os
import sys
from pathlib import Path

import pytest

from opstore_cli.console.session import Session
from opstore_cli.local import launcher, lookup
from opstore_cli.local.runtime import LocalDaemon
from opstore_cli.main import main
from opstore_daemon.protocol._version import __version__
from tests.cli.console.program import in_process, opstore, posix


@pytest.mark.parametrize(
    ("line", "executed"),
    [
        ("serve", "serve"),
        ("serve --host ::1 --port 0", "serve --host ::1 --port 0"),
        ("serve --db sqlite:///x --saver file:///y", "serve --db sqlite:///x --saver file:///y"),
        ("serve --allow-host a.example --allow-host b", "serve --allow-host a.example --allow-host b"),
        ("serve --host 0.0.0.0 --behind-proxy", "serve --behind-proxy --host 0.0.0.0"),
        ("db current", "db current"),
        ("db upgrade --db sqlite:///x", "db upgrade --db sqlite:///x"),
    ],
)
def test_serve_and_db_execute_the_daemon_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, executed: str
) -> None:
    started = list[tuple[str, list[str]]]()
    monkeypatch.setattr(os, "execv", lambda path, words: started.append((path, words)))
    assert in_process(capsys, *line.split()) == (0, "", "")
    expected = [sys.executable, "-P", "-m", "opstore_daemon", *executed.split()]
    assert started == [(sys.executable, expected)]


def test_commands_that_need_a_daemon_hint_at_start(environment: dict[str, str], tmp_path: Path) -> None:
    said = f"error: no daemon runs for {tmp_path / 'home'}\nhint: opstore start\n"
    for line in ("ops", "links", "versions pca", "pull pca", "validate churn", "pipeline list", "status"):
        assert opstore(environment, *line.split(), cwd=tmp_path) == (7, "", said), line


def test_the_status_of_an_unreachable_url_is_not_running(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = opstore(environment, "status", "--url", "http://127.0.0.1:9", "--json", cwd=tmp_path)
    document = json.loads(out)
    assert (code, document["running"], document["url"], err) == (7, False, "http://127.0.0.1:9", "")


def test_a_daemon_that_ends_while_its_status_is_read_is_not_started_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path))
    (tmp_path / "token").write_text("a-token-of-some-length")
    monkeypatch.delenv("OPSTORE_NO_AUTOSTART", raising=False)
    found = [LocalDaemon("http://127.0.0.1:9", 2, 9, __version__)]
    monkeypatch.setattr(lookup, "find", lambda *_: found.pop() if found else None)
    started: list[Path] = []
    monkeypatch.setattr(launcher, "launch", lambda home, _log: started.append(home))
    assert main(["status", "--json"], Session()) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["unfinished"], err, started) == ([], "", [])


def test_stop_without_a_daemon_succeeds(environment: dict[str, str], tmp_path: Path) -> None:
    said = f"no daemon runs for {tmp_path / 'home'}\n"
    assert opstore(environment, "stop", cwd=tmp_path) == (0, "", said)


@posix
def test_a_deleted_working_folder_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    said = "error: the working directory: No such file or directory\n"
    leave = {"cwd": folder, "preexec_fn": folder.rmdir}
    code, out, err = opstore({**environment, "PYTHONSAFEPATH": "1"}, "ops", **leave)
    assert (code, out, err) == (2, "", said)
