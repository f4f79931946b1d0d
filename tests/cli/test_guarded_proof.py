"""Who answers on the local daemon's port, and what counts as its proof."""

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient, config, proving
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.proof import prove
from tests.cli.fake_daemon import FakeDaemon

PORT, TOKEN = 7001, "the-token-of-this-home"


def is_taken_for_the_daemon(answer: Callable[[str], bytes]) -> bool:
    """Whether the other end proves itself, where it gives this answer to the nonce and goes away."""
    ours, theirs = socket.socketpair()

    def reply() -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += theirs.recv(65536)
        nonce = head.partition(f"{routes.NONCE}: ".encode())[2].partition(b"\r\n")[0].decode()
        theirs.sendall(answer(nonce))
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=reply)
    thread.start()
    with ours, theirs:
        try:
            return proving.knows_token(ours, "127.0.0.1", PORT, TOKEN)
        finally:
            thread.join()


def health(nonce: str, status: str = "200 OK", lines: str = "Content-Length: 3", body: str = "ok\n") -> bytes:
    """A health answer with the right proof."""
    head = f"HTTP/1.1 {status}\r\n{routes.PROOF}: {prove(TOKEN, nonce, PORT)}\r\n{lines}\r\n\r\n"
    return f"{head}{body}".encode()


def test_a_proof_counts_on_a_connection_that_goes_on_only() -> None:
    assert is_taken_for_the_daemon(health)
    assert not is_taken_for_the_daemon(lambda nonce: health(nonce, "404 Not Found"))
    assert not is_taken_for_the_daemon(lambda nonce: health(nonce, lines="Content-Length: 3\r\nConnection: close"))


def test_a_health_answer_that_is_too_long_is_not_read() -> None:
    assert not is_taken_for_the_daemon(lambda nonce: health(nonce, lines=f"Content-Length: {proving.MAX_BODY + 1}"))
    assert not is_taken_for_the_daemon(lambda nonce: health(nonce, lines="Transfer-Encoding: chunked", body=""))


def test_a_given_token_goes_to_no_stranger_on_the_local_daemons_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with FakeDaemon() as daemon:
        (tmp_path / "token").write_text(daemon.token)
        runtime = {"url": daemon.url, "pid": os.getpid(), "port": daemon.port, "version": "0"}
        (tmp_path / "daemon.json").write_text(json.dumps(runtime))
        environ = {"OPSTORE_HOME": str(tmp_path), "OPSTORE_TOKEN": "mine", "OPSTORE_NO_AUTOSTART": "1"}
        with OpStoreClient(settings=config.load(None, environ, tmp_path)) as client:
            assert client.target.url == daemon.url
            daemon.token = "a-token-of-its-own"  # the daemon has gone, and a stranger has its port
            with pytest.raises(errors.DaemonNotRunning):
                client.show("pca")
    assert set(daemon.log) == {f"GET {routes.HEALTH}"}
    assert not any("Authorization" in headers for headers in daemon.headers)
