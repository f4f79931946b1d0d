"""What a daemon needs that is one of many: a token that all have, and an end that a load balancer notices."""

import os
import secrets
import signal
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import load_settings
from opstore_cli.doctor import CHECKS
from opstore_cli.doctor.machine import Machine
from opstore_cli.local import stopping
from opstore_daemon.protocol import routes
from tests.daemon.process.conftest import Start
from tests.support.daemon import run
from tests.support.http_client import Http
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

SECRET = secrets.token_urlsafe(32)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Return the path of a secret as Kubernetes mounts it: a link to a file that others can read."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "token").write_text(f"{SECRET}\n")
    (tmp_path / "..data" / "token").chmod(0o444)
    link = tmp_path / "token"
    link.symlink_to("..data/token")
    return link


def test_the_token_of_a_mounted_secret_is_that_of_the_daemon(start: Start, mounted: Path) -> None:
    daemon = start(OPSTORE_TOKEN_FILE=str(mounted))
    assert not (daemon.home / "token").exists(), "the home holds no state that another daemon would need"
    for token, status in ((SECRET, 200), (f"{SECRET}x", 401)):
        with Http(daemon.url, token) as http:
            assert http.get(routes.STATUS).status_code == status
    assert SECRET not in (daemon.home / "daemon.log").read_text()
    # Commands of this home find it, as in its container: opstore doctor, status and stop.
    settings = load_settings(None, {"OPSTORE_HOME": str(daemon.home), "OPSTORE_NO_AUTOSTART": "1"}, daemon.home)
    with OpStoreClient(settings=settings) as client:
        assert client.ops() == []
    machine = Machine(daemon.home, daemon.home, settings)
    found = {check: each(machine) for check, each in CHECKS.items() if check in ("token file", "daemon", "token")}
    assert [check for check, result in found.items() if result is None or result.advice] == []
    stopping.stop(daemon.home)


def test_a_daemon_that_a_client_starts_in_the_background_has_the_token_of_its_home(start: Start, mounted: Path) -> None:
    daemon = start("--background", OPSTORE_TOKEN_FILE=str(mounted))
    assert daemon.token != SECRET, "the variable may be for a daemon elsewhere"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "it does not contain a token"),
        (b"short", "it does not contain a token"),
        (b"two words of more than sixteen characters", "it does not contain a token"),
        (b"\xff" * 20, "it does not contain a token"),
        ("folder", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
    ],
)
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes | str | None, reason: str) -> None:
    path = tmp_path / "secret"
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    ended = run(tmp_path / "home", "serve", OPSTORE_TOKEN_FILE=str(path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"OPSTORE_TOKEN_FILE ({path})" in ended.stderr
    assert reason in ended.stderr or content == "folder"
    assert not (tmp_path / "home").exists(), "nothing was written"


def test_a_terminated_daemon_serves_until_a_balancer_has_noticed(start: Start) -> None:
    daemon = start(OPSTORE_DRAIN="1h")
    assert daemon.ask("GET", routes.READY)[0] == 200
    daemon.process.send_signal(signal.SIGTERM)
    wait_for(lambda: daemon.ask("GET", routes.READY)[0] == 503, "the end of its readiness")
    assert daemon.ask("GET", routes.OPS)[0] == 200
    daemon.push("pca", b"bytes")
    assert daemon.stop() == 0, "a second signal ends it at once"


@pytest.mark.parametrize("text", ["soon", "-1", "2h"])
def test_a_wrong_drain_time_is_refused(tmp_path: Path, text: str) -> None:
    ended = run(tmp_path / "home", "serve", OPSTORE_DRAIN=text)
    assert ended.returncode == 2
    assert "OPSTORE_DRAIN" in ended.stderr
