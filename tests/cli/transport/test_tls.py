"""TLS that can't be established, and what is said about it."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_cli.transfer import retry
from opstore_cli.transport import connections, probe
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from tests.support.figures import few
from tests.support.transfers import BYTES

# Made for this test with openssl: it names localhost from 2020 to 2120, and the key guards nothing.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJ3kduQ9olP6mSQGi
tjEcQjLnObQ/cKX/VfDBVfKMDeOhRANCAATcwVA6/qw/WmPS/a0ZZ6AdkyeaE4AG
gqYITYRh5ef/kvubfFMF3U6f2Se2ZCHc6+14Eg1RHIuZWc4Nq22JYb5q
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBZzCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNzBUDr+rD9aY9L9
rRlnoB2TJ5oTgAaCpghNhGHl5/+S+5t8UwXdTp/ZJ7ZkIdzr7XgSDVEci5lZzg2r
bYlhvmqjTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MB0GA1UdDgQWBBR7EpyomJCiXUkFkULOblKZ82npxzAKBggqhkjOPQQD
AgNIADBFAiEApNH3ygfVBdfVwzxGxeIoZLU/etypTq4EehFA/9sTv7kCIGtUqCIG
19JsUC4pqUdFwNNjhPDW9JnoxcLdF+RCGfEn
-----END CERTIFICATE-----
"""

# Of another key: a certificate of the year 2020, and one for other.example.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglPX+cAdmF2x7zqrv
5VzPuoAotcqStNEZfvlUdDu8e/6hRANCAATbejo0up85XVwZ+9ifdzheMSgbN0Am
7nJzGRcoJyvBEFpqjcuw/YhXnFJA1wdMORAD7/XUZvkdChlwb64tFIdF
-----END PRIVATE KEY-----
"""
EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBZTCCAQugAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAls
b2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATbejo0up85XVwZ+9if
dzheMSgbN0Am7nJzGRcoJyvBEFpqjcuw/YhXnFJA1wdMORAD7/XUZvkdChlwb64t
FIdFo04wTDAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwDwYDVR0TAQH/BAUw
AwEB/zAdBgNVHQ4EFgQUjOFWAAkTMA/onuKWj/u9NE3BQe8wCgYIKoZIzj0EAwID
SAAwRQIhAJudkOaV6416vRXG3QvZheI344hS8R1WQI/mj9j52XrlAiAUBUUPbay3
XVlpj9SP/6HXsIe+pg9nj+A+ecSSr1lo9w==
-----END CERTIFICATE-----
"""
OTHER_HOST = """\
-----BEGIN CERTIFICATE-----
MIIBbDCCAROgAwIBAgIBAjAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1vdGhlci5l
eGFtcGxlMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1vdGhlci5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE23o6
NLqfOV1cGfvYn3c4XjEoGzdAJu5ycxkXKCcrwRBaao3LsP2IV5xSQNcHTDkQA+/1
1Gb5HQoZcG+uLRSHRaNMMEowGAYDVR0RBBEwD4INb3RoZXIuZXhhbXBsZTAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBSM4VYACRMwD+ie4paP+700TcFB7zAKBggq
hkjOPQQDAgNHADBEAiApSyrgb+PDqDH7AHPbqnT4VBl2lEIXcBmElP2cRO4j7QIg
HSNVu80h75DF6oM8kRz5kdinDZxyO4OYwWVXRCZlA0c=
-----END CERTIFICATE-----
"""

TOKEN = "secret"


@contextmanager
def behind_tls(certificate: Path) -> Iterator[tuple[str, bytearray, list[str]]]:
    """Yield the URL of a server that responds to every request with 404, the bytes it receives, and its connections."""
    context, received, ended = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), bytearray(), threading.Event()
    context.load_cert_chain(certificate)
    accepted: list[str] = []

    def serve(listening: socket.socket) -> None:
        while not ended.is_set():
            connection, _ = listening.accept()
            accepted.append("a connection")
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                received.extend(secured.recv(65536))
                secured.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"https://localhost:{listening.getsockname()[1]}", received, accepted
        finally:
            ended.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join()


def test_an_untrusted_certificate_is_refused_before_the_token_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)
    with behind_tls(certificate) as (url, received, _):
        settings = Settings(home=tmp_path, token="secret").with_url(url)
        refused = pytest.raises(errors.TlsFailed, match=r"its certificate is refused: self.signed certificate")
        with OpStoreClient(settings=settings) as client, refused:
            client.show("pca")
        assert received == b""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        answered = pytest.raises(errors.DaemonUnreachable, match="not an opstore daemon")
        with OpStoreClient(settings=settings) as client, answered:
            client.show("pca")
        assert b"Authorization: Bearer secret" in received


@contextmanager
def answering(answer: Callable[[socket.socket, bytes], object]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the port of a server without TLS, and the first bytes of each connection, which `answer` answers."""
    first: list[bytes] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    first.append(connection.recv(65536))
                    answer(connection, first[-1])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], first
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def failure_of(url: str, tmp_path: Path, *, token: str | None = TOKEN) -> errors.OpStoreError:
    with OpStoreClient(settings=Settings(home=tmp_path, token=token).with_url(url)) as client:
        with pytest.raises(errors.OpStoreError) as caught:
            client.push("pca", BYTES)
        return caught.value


@pytest.mark.parametrize(
    ("certificate", "reason", "advice"),
    [
        (CERTIFICATE, "self.signed certificate", "set REQUESTS_CA_BUNDLE to a file of the certificates to trust"),
        (KEY + EXPIRED, "certificate has expired", "renew the certificate there, or set this machine's clock"),
        (KEY + OTHER_HOST, "not valid for 'localhost'", "use the name that the certificate is for"),
    ],
)
def test_a_refused_certificate_is_not_retried_and_its_reason_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: str, reason: str, advice: str
) -> None:
    (tmp_path / "certificate.pem").write_text(certificate)
    if certificate != CERTIFICATE:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    with behind_tls(tmp_path / "certificate.pem") as (url, received, accepted):
        failure = failure_of(url, tmp_path)
        assert (bytes(received), len(accepted)) == (b"", 1)
    assert isinstance(failure, errors.TlsFailed)
    assert re.search(f"its certificate is refused: .*{reason}", failure.text)
    assert failure.advice.startswith(advice)


def test_https_to_a_daemon_without_tls_fails_at_once(tmp_path: Path, listener: Listener) -> None:
    url = f"https://127.0.0.1:{listener.port}"
    failure = failure_of(url, tmp_path)
    assert failure.text == f"TLS with {url} failed: the server does not speak TLS"
    assert failure.advice == f"try http://127.0.0.1:{listener.port}, if its daemon has no TLS"
    assert (type(failure), failure.exit_code) == (errors.TlsFailed, 7)


@pytest.mark.parametrize("way", ["text", "close", "silence"])
def test_https_to_any_server_without_tls_is_one_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT", 0.3)
    plain = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def answer(connection: socket.socket, first: bytes) -> None:
        if first.startswith(b"GET ") or way == "text":
            connection.sendall(plain)
        elif way == "silence":
            connection.recv(1)

    with answering(answer) as (port, first):
        failure = failure_of(f"https://127.0.0.1:{port}", tmp_path)
    assert failure.text == f"TLS with https://127.0.0.1:{port} failed: the server does not speak TLS"
    assert [each[:4] for each in first] == [first[0][:4], *([] if way == "text" else [b"GET "])]
    assert all(b"secret" not in each for each in first)


def test_a_server_that_answers_neither_way_is_not_said_to_lack_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr(probe, "TIMEOUT", 0.2)
    with answering(lambda connection, _first: connection.recv(1)) as (port, _):
        failure = failure_of(f"https://127.0.0.1:{port}", tmp_path)
    assert failure.text == f"TLS with https://127.0.0.1:{port} failed: no response within the timeout"
    assert "http://" not in failure.advice


@pytest.mark.parametrize("token", few(1, [None, "secret"]))
def test_http_to_a_server_with_tls_names_https(tmp_path: Path, token: str | None) -> None:
    (tmp_path / "certificate.pem").write_text(CERTIFICATE)
    with behind_tls(tmp_path / "certificate.pem") as (url, received, _):
        failure = failure_of(url.replace("https://localhost", "http://127.0.0.1"), tmp_path, token=token)
    assert isinstance(failure, errors.TlsRequired)
    assert failure.advice == f"use {url.replace('localhost', '127.0.0.1')}"
    assert b"secret" not in received


ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
OTHERS = {  # what a server sends first, and in response to a request
    "an alert": (b"", ALERT),
    "an alert and a blank line": (b"", ALERT + b"\r\n\r\n"),
    "an alert without an end": (b"", ALERT + b"stay"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", b""),
    "SSH without an end": (b"SSH-2.0-OpenSSH_9.6\r\n", b"stay"),
    "SMTP": (b"220 mail.example ESMTP\r\n", b"502 5.5.2 command not recognized\r\n\r\n"),
    "Redis": (b"", b"-ERR unknown command 'GET'\r\n"),
    "HTTP/0.9": (b"", b"<html></html>\r\n\r\n"),
    "MySQL": (b"J\x00\x00\x00\n8.0.36\x00", b""),
    "HTTP/2": (b"", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18),
    "an escape sequence": (b"", b"\x1b[31m\r\n\r\n"),
}


@pytest.mark.parametrize("token", [None, "secret"])
@pytest.mark.parametrize("name", OTHERS)
def test_another_protocol_is_named_after_one_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, token: str | None
) -> None:
    monkeypatch.setattr(retry, "WAITS", ())
    banner, response = OTHERS[name]

    def answer(connection: socket.socket, first: bytes) -> None:
        connection.sendall((banner + response).removesuffix(b"stay"))
        if response.endswith(b"stay"):
            connection.recv(1)  # until the client closes

    with answering(answer) as (port, first):
        url = f"http://127.0.0.1:{port}"
        failure = failure_of(url, tmp_path, token=token)
    assert (len(first), b"secret" in first[0]) == (1, False)
    if name.startswith("an alert"):
        assert (type(failure), failure.advice) == (errors.TlsRequired, f"use {url.replace('http:', 'https:')}")
        return
    begin = (banner + response).splitlines()[0].decode()
    shown = f": it begins with {begin!r}" if begin.isprintable() else ""
    assert type(failure) is errors.DaemonUnreachable
    assert failure.text == f"no daemon answers at {url}: its response is not HTTP{shown}"


@pytest.mark.parametrize("token", [None, "secret"])
def test_a_server_with_tls_that_refuses_plain_http_in_http_requires_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    """As nginx and Go do."""
    refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhttps"
    asked: list[tuple[str, int]] = []

    def speaks_tls(host: str, port: int) -> bool:
        asked.append((host, port))
        return True

    monkeypatch.setattr(connections, "speaks_tls", speaks_tls)
    with answering(lambda connection, _first: connection.sendall(refusal)) as (port, _):
        failure = failure_of(f"http://127.0.0.1:{port}", tmp_path, token=token)
    assert (type(failure), asked) == (errors.TlsRequired, [("127.0.0.1", port)])


def test_a_proxy_that_refuses_is_not_retried_and_its_status_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with answering(lambda connection, _first: connection.send(refusal)) as (port, first):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        failure = failure_of("https://daemon.example", tmp_path)
    assert isinstance(failure, errors.DaemonUnreachable)
    assert failure.details["reason"] == "the proxy refuses the connection: 407 Proxy Authentication Required"
    assert len(first) == 1


def test_an_unreachable_proxy_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    failure = failure_of("https://daemon.example", tmp_path)
    assert failure.details["reason"] == "the proxy can't be used: connection refused"
