"""The checks of the daemon, the local one and the one at a URL: each finds its fault, brought about for real."""

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.config.credentials import Credentials
from opstore_daemon.system import namespaces
from opstore_daemon.testing import Serving
from tests.support.fake_daemon import FakeDaemon
from tests.support.homes import held, write_runtime_file
from tests.support.http_thread import serving
from tests.support.schema import HEAD
from tests.support.user import TOKEN, User
from tests.support.wire import Stranger, refusing_port

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks as POSIX has them")

# --- the local daemon -------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(user: User) -> Iterator[FakeDaemon]:
    """A daemon of the user's home, as far as the lock, the runtime file and the proof go."""
    with FakeDaemon() as daemon:
        user.make_home(daemon.token)
        user.runs(daemon.url)
        with held(user.home):
            yield daemon


@pytest.mark.slow
def test_a_daemon_of_another_version_is_a_finding(user: User, fake: FakeDaemon) -> None:
    user.runs(fake.url, version="0.0.9")
    said = (f"opstore 0.0.9 runs at {fake.url}, this is opstore 0.1.0", "opstore restart")
    assert user.wrong()["daemon"] == said


def test_a_killed_daemon_is_no_finding(user: User) -> None:
    user.make_home()
    user.runs(f"http://127.0.0.1:{refusing_port()}")
    (user.home / "daemon.lock").touch()
    assert user.wrong() == {}


def test_a_stranger_on_the_port_of_the_last_daemon_is_not_asked(user: User) -> None:
    user.make_home()
    with Stranger("200 OK", "Opstore-Proof: 00\r\n", b"ok\n") as stranger:
        user.runs(stranger.url)
        (user.home / "daemon.lock").touch()
        assert user.wrong() == {}
    assert stranger.received == b""


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRIEF", "PROOF_TIMEOUT", "SETTLE_TIMEOUT"):
        monkeypatch.setattr(f"opstore_cli.local.lookup.{name}", 0.1)


@pytest.mark.usefixtures("brief")
def test_a_lock_holder_without_an_address_is_a_finding(user: User) -> None:
    user.make_home()
    with held(user.home):
        found, advice = user.wrong()["daemon"]
    assert "a process holds //data/daemon.lock, and has published no address within " in found
    assert advice == "//data/daemon.log may say why"
    assert user.wrong() == {}


@pytest.mark.usefixtures("brief")
def test_a_daemon_that_does_not_respond_is_a_finding(user: User) -> None:
    user.make_home()

    class Silent(Stranger):
        def _handle(self, connection: object) -> None:
            """Says nothing."""

    with Silent() as silent, held(user.home):
        user.runs(silent.url)
        found, advice = user.wrong()["daemon"]
    assert f"it does not respond at {silent.url} (pid 4194305 on an unknown host) within " in found
    assert advice == "opstore restart; //data/daemon.log may say what it does"


@pytest.mark.usefixtures("brief")
def test_a_daemon_on_another_host_or_network_is_a_finding(user: User) -> None:
    user.make_home()
    url = f"http://127.0.0.1:{refusing_port()}"
    with held(user.home):
        write_runtime_file(user.home, url, pid=1, host="trainer-7")
        found, _ = user.wrong()["daemon"]
        assert found.endswith(
            f"connecting to {url} (pid 1 on trainer-7) failed: Connection refused; it may run on trainer-7"
        )
        write_runtime_file(user.home, url, pid=1, host=namespaces.host_name())
        assert user.wrong()["daemon"][0].endswith("; it may run in another network namespace")


@pytest.mark.usefixtures("brief")
def test_a_token_file_that_was_replaced_is_a_finding(user: User, fake: FakeDaemon) -> None:
    (user.home / "token").write_text("another-token-of-some-length")
    found, advice = user.wrong()["daemon"]
    assert found.startswith(f"the server at {fake.url} does not know the token in //data; one of them was replaced")
    assert advice == "opstore restart"


def test_a_daemon_that_may_not_be_started_is_a_finding(user: User) -> None:
    user.environ = {"OPSTORE_NO_AUTOSTART": "1"}
    said = "it does not run, and OPSTORE_NO_AUTOSTART forbids starting it"
    assert user.wrong() == {"daemon": (said, "opstore start")}


# --- the daemon that is meant -----------------------------------------------------------------------------------------


def test_a_daemon_at_a_url_that_accepts_the_token_is_no_finding(user: User, opstore_memory_server: Serving) -> None:
    user.url = opstore_memory_server.url
    user.environ = {"OPSTORE_TOKEN": opstore_memory_server.token}
    assert user.findings()["daemon"].found.startswith("no local daemon runs, and none is needed")
    found = user.findings()
    assert user.wrong() == {}
    assert found["answer"].found == f"opstore 0.1.0 answers at {user.url}"
    assert found["token"].found == f"{user.url} accepts the token (OPSTORE_TOKEN)"
    assert found["clock"].ok


def test_tokens_that_the_daemon_refuses_are_a_finding(user: User, opstore_memory_server: Serving) -> None:
    url = user.url = opstore_memory_server.url
    assert user.wrong() == {"token": (f"{url} requires a token, and there is none for it", f"opstore login {url}")}
    Credentials().store(url, "kept-of-an-older-daemon")
    assert user.wrong() == {"token": (f"{url} does not know the token (login)", f"opstore login {url}")}
    user.environ = {"OPSTORE_TOKEN": "wrong"}
    assert user.wrong() == {
        "token": (
            f"{url} does not know the token (OPSTORE_TOKEN)",
            "unset OPSTORE_TOKEN, or set it to a token that the daemon knows",
        )
    }


def test_a_url_that_refuses_connections_is_a_finding(user: User) -> None:
    user.url = f"http://127.0.0.1:{refusing_port()}"
    found, advice = user.wrong()["answer"]
    assert found == f"no daemon answers at {user.url}: connection refused"
    port = user.url.rpartition(":")[2]
    assert advice == (
        f"start a daemon there: opstore serve --port {port}, or check the tunnel or load balancer at that port;"
        " without --url, this command uses the local daemon"
    )


def test_a_url_with_an_unknown_host_name_is_a_finding(user: User) -> None:
    user.url = "https://opstore.invalid"
    said = ("no daemon answers at https://opstore.invalid: unknown host name",)
    assert user.wrong() == {"answer": (*said, "correct the URL, or opstore --url URL ...")}


def test_a_url_of_another_server_is_a_finding(user: User) -> None:
    with Stranger("200 OK", body=b"welcome") as stranger:
        user.url = stranger.url
        found, _ = user.wrong()["answer"]
    assert found == f"no daemon answers at {user.url}: the server is not an opstore daemon (HTTP 200)"


def test_a_token_for_a_plain_http_url_is_a_finding(user: User) -> None:
    user.url, user.environ = "http://192.0.2.1", {"OPSTORE_TOKEN": "secret"}
    found, advice = user.wrong()["token"]
    assert (found.startswith("a token is not sent to http://192.0.2.1: "), advice) == (True, "use https://")
    assert "answer" not in user.findings(), "nothing was sent"


@pytest.mark.slow
def test_a_stranger_at_the_url_of_the_local_daemon_is_a_finding(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opstore_cli.local.lookup.SETTLE_TIMEOUT", 0.1)
    user.make_home()
    with Stranger("200 OK", body=b"ok") as stranger, held(user.home):
        user.runs(stranger.url)
        user.url = stranger.url
        wrong = user.wrong()
        assert list(wrong) == ["daemon", "token"]
        assert wrong["token"][1] == "opstore restart"
        assert "answer" not in user.findings()
    assert TOKEN.encode() not in stranger.received


def test_an_untrusted_certificate_is_a_finding(user: User, tls_url: str) -> None:
    user.url = tls_url
    found, advice = user.wrong()["answer"]
    assert found.startswith(f"TLS with {tls_url} failed: its certificate is refused: ")
    assert advice == "set REQUESTS_CA_BUNDLE to a file of the certificates to trust"


@pytest.fixture
def tls_url(tmp_path: Path) -> Iterator[str]:
    """A server whose certificate nobody has signed but itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    asked = "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [openssl, *asked.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError):  # the client hangs up
                super().finish_request(context.wrap_socket(request, server_side=True), client_address)

    with serving(Server(("127.0.0.1", 0), BaseHTTPRequestHandler)) as port:
        yield f"https://localhost:{port}"


@pytest.mark.parametrize(("seconds", "side"), [(3600, "ahead of"), (-86400, "behind")])
def test_a_daemon_with_another_clock_is_a_finding(user: User, seconds: int, side: str) -> None:
    status = {"version": "0.1.0", "pid": 1, "home": None, "schema": HEAD, "started_at": "2026-01-01T00:00:00Z"}
    stranger = Stranger("200 OK", body=json.dumps(status).encode())
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    headers = f"Content-Type: application/json\r\nDate: {date}\r\n".encode()
    stranger._answer = stranger._answer.replace(b"Content-Type: text/plain\r\n", headers)
    with stranger:
        user.url = stranger.url
        found, advice = user.wrong()["clock"]
    shown = re.fullmatch(rf"the daemon's clock is (\d+) s {side} this machine's", found)
    assert shown is not None
    assert abs(int(shown[1]) - abs(seconds)) <= 5
    assert advice == "set both clocks (NTP)"


def test_no_check_shows_a_token(user: User, opstore_memory_server: Serving) -> None:
    user.make_home("the-secret-of-the-home")
    Credentials().store(opstore_memory_server.url, "the-secret-of-login")
    user.url = opstore_memory_server.url
    for environ in ({}, {"OPSTORE_TOKEN": "the-secret-of-the-environment"}):
        user.environ = environ
        assert "the-secret" not in str(user.findings())
        assert "the-secret" not in repr(user.machine())
