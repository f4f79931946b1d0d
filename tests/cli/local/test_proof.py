"""The proof that a daemon knows the token, and impostors without it."""

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from waitress.server import create_server

from opstore_cli import OpStoreClient
from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import load_settings
from opstore_cli.local import proof
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.proof import authority, key_of, prove
from opstore_daemon.savers import MemorySaver
from opstore_daemon.server import OpStoreServer
from opstore_daemon.testing import serving
from tests.support.fake_daemon import TOKEN as RIGHT
from tests.support.fake_daemon import FakeDaemon
from tests.support.figures import few
from tests.support.homes import held, write_runtime_file

TOKEN = "the-token-of-this-home"
CLOSED, LONG = "Content-Length: 3\r\nConnection: close", f"Content-Length: {proof.MAX_BODY + 1}"
BODY = "x" * (proof.MAX_BODY + 1)


def is_taken_for_the_daemon(answer: Callable[[str, str], bytes]) -> bool:
    """Whether the other end proves itself, where it gives this answer to the nonce and goes away."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname(), timeout=5)
        theirs, _ = listening.accept()
    theirs.settimeout(5)
    at = authority(*theirs.getsockname())

    def reply() -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += theirs.recv(65536)
        nonce = head.partition(f"{routes.NONCE}: ".encode())[2].partition(b"\r\n")[0].decode()
        theirs.sendall(answer(nonce, at))
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=reply)
    thread.start()
    with ours, theirs:
        try:
            return proof.knows_token(ours, TOKEN)
        finally:
            thread.join()


def _constant(answer: bytes, _nonce: str, _at: str) -> bytes:
    return answer


def health(nonce: str, at: str, status: str = "200 OK", lines: str = "Content-Length: 3", body: str = "ok\n") -> bytes:
    """A health answer with the right proof."""
    head = f"HTTP/1.1 {status}\r\n{routes.PROOF}: {prove(key_of(TOKEN), nonce, at)}\r\n{lines}\r\n\r\n"
    return f"{head}{body}".encode()


def test_a_proof_is_accepted_only_with_status_200_on_a_kept_connection() -> None:
    assert is_taken_for_the_daemon(health)
    assert not is_taken_for_the_daemon(lambda nonce, at: health(nonce, at, "404 Not Found"))
    assert not is_taken_for_the_daemon(lambda nonce, at: health(nonce, at, lines=CLOSED))
    for other in (b"220 ready\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTT", b"HTTPS/1.1 200 OK\r\n\r\n"):
        with contextlib.suppress(OSError):  # it ends early
            assert not is_taken_for_the_daemon(partial(_constant, other))


def test_a_health_response_that_is_too_long_is_not_read() -> None:
    assert not is_taken_for_the_daemon(lambda nonce, at: health(nonce, at, lines=LONG, body=BODY))
    assert not is_taken_for_the_daemon(
        lambda nonce, at: health(nonce, at, lines="Transfer-Encoding: chunked", body="0\r\n\r\n")
    )


def test_a_proof_that_drips_ends_with_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname(), timeout=0.2)
        theirs, _ = listening.accept()
    done = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            theirs.sendall(b"HTTP/")
            while not done.wait(0.01):  # each byte comes within the timeout
                theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    with ours, theirs:
        try:
            with pytest.raises(TimeoutError):
                proof.knows_token(ours, TOKEN)
            assert ours.gettimeout() == 0.2
        finally:
            done.set()
            thread.join()


@pytest.mark.slow
def test_a_given_token_goes_to_no_stranger_on_the_local_daemons_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with FakeDaemon() as daemon:
        (tmp_path / "token").write_text(daemon.token)
        write_runtime_file(tmp_path, daemon.url)
        environ = {"OPSTORE_HOME": str(tmp_path), "OPSTORE_TOKEN": "mine", "OPSTORE_NO_AUTOSTART": "1"}
        with OpStoreClient(settings=load_settings(None, environ, tmp_path)) as client:
            with held(tmp_path):
                assert client.target.url == daemon.url
                daemon.token = "a-token-of-its-own"  # another program has its port
                with pytest.raises(errors.ProofFailed):
                    client.show("pca")
            with pytest.raises(errors.DaemonNotRunning):  # the daemon has gone
                client.show("pca")
    assert (daemon.log, bool(daemon.health)) == ([], True)
    assert not any("Authorization" in headers for headers in daemon.health)


def give(source: str, token: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> OpStoreClient:
    """Return a client of the URL whose token comes from there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_args, **_options: str(folder))
    environ = {"OPSTORE_HOME": str(folder / "home"), "OPSTORE_NO_AUTOSTART": "1", "OPSTORE_URL": url}
    if source == "OPSTORE_TOKEN":
        environ[source] = token
    elif source == "OPSTORE_TOKEN_FILE":
        (folder / "secret").write_text(token)
        environ[source] = str(folder / "secret")
    elif source == "login":
        Credentials().store(url, token)
    settings = load_settings(None, environ, folder)
    return OpStoreClient(settings=settings, token=token if source == "argument" else None)


SOURCES = ["argument", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE", "login"]


@pytest.mark.parametrize("source", SOURCES)
def test_an_impostor_on_the_port_gets_no_token(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeDaemon(token="a-token-of-its-own") as impostor:
        for url in (impostor.url, impostor.url.replace("127.0.0.1", "localhost"), f"{impostor.url}/team"):
            with give(source, RIGHT, url, tmp_path, monkeypatch) as client:
                with pytest.raises(errors.ProofFailed) as failed:
                    client.show("pca")
                assert (failed.value.exit_code, client.target.source) == (8, source)
    assert (impostor.log, len(impostor.health)) == ([], 3)
    assert not any("Authorization" in headers or RIGHT in str(headers) for headers in impostor.health)


@pytest.mark.parametrize("source", SOURCES)
def test_a_daemon_that_proves_itself_gets_the_token(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tokens={"reader": "read"}) as running:
        for url in (running.url, running.url.replace("127.0.0.1", "localhost")):
            for token in (running.token, "reader"):
                with give(source, token, url, tmp_path, monkeypatch) as client:
                    assert client.ops() == []


class Relay:
    """Forwards the bytes of each connection to a daemon, and back, on a port of its own."""

    def __init__(self, to: int, port: int = 0) -> None:
        self._to, self._listening = to, socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            daemon = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._carry, args=(client, daemon), daemon=True).start()
            threading.Thread(target=self._carry, args=(daemon, client), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.received += data
                target.sendall(self.changed(data))
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def changed(self, data: bytes) -> bytes:
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


class HostRelay(Relay):
    """Writes the daemon's own authority into the requests."""

    def changed(self, data: bytes) -> bytes:
        return data.replace(f"127.0.0.1:{self.port}".encode(), f"127.0.0.1:{self._to}".encode())


@pytest.mark.parametrize("kind", [Relay, HostRelay])
def test_a_relay_on_another_port_gets_no_token(kind: type[Relay]) -> None:
    with serving(hosts=["models.example.com"]) as running, contextlib.closing(kind(running.listener.port)) as relay:
        url = f"http://127.0.0.1:{relay.port}"
        with OpStoreClient(url, token=running.token) as client, pytest.raises(errors.ProofFailed):
            client.ops()
        assert routes.HEALTH.encode() in relay.received
        assert b"uthorization" not in relay.received
        assert running.token.encode() not in relay.received


def test_a_tunnel_of_an_allowed_host_gets_the_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        serving(hosts=[f"127.0.0.1:{port}"]) as running,
        contextlib.closing(Relay(running.listener.port, port)),
        OpStoreClient(f"http://127.0.0.1:{port}", token=running.token) as client,
    ):
        assert client.ops() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", few(1, ["waitress.invalid", "127.0.0.1", "localhost"]))
def test_an_application_behind_another_server_proves_itself(name: str) -> None:
    with contextlib.closing(OpStoreServer(MemorySaver())) as server:
        other = create_server(server.flask, host="127.0.0.1", port=0, server_name=name, threads=2, map={})
        address = f"http://127.0.0.1:{other.effective_port}"
        thread = threading.Thread(target=other.run, daemon=True)
        thread.start()
        with OpStoreClient(address, token=server.token) as client:
            assert client.ops() == []
        with OpStoreClient(address, token="another") as client, pytest.raises(errors.ProofFailed):
            client.ops()
        other.trigger.pull_trigger(lambda: other.close())
        thread.join()
