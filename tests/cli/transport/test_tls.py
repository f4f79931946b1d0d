"""A daemon behind TLS with an untrusted certificate."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.config.settings import Settings
from opstore_daemon.protocol import errors

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


@contextmanager
def behind_tls(certificate: Path) -> Iterator[tuple[str, bytearray]]:
    """Yield the URL of a server that responds to every request with 404, and the bytes that it receives."""
    context, received, ended = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), bytearray(), threading.Event()
    context.load_cert_chain(certificate)

    def serve(listening: socket.socket) -> None:
        while not ended.is_set():
            connection, _ = listening.accept()
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                received.extend(secured.recv(65536))
                secured.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"https://localhost:{listening.getsockname()[1]}", received
        finally:
            ended.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join()


def test_an_untrusted_certificate_is_refused_before_the_token_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE)
    with behind_tls(certificate) as (url, received):
        settings = Settings(home=tmp_path, token="secret").with_url(url)
        refused = pytest.raises(errors.DaemonUnreachable, match="TLS failed")
        with OpStoreClient(settings=settings) as client, refused:
            client.show("pca")
        assert received == b""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        answered = pytest.raises(errors.DaemonUnreachable, match="not an opstore daemon")
        with OpStoreClient(settings=settings) as client, answered:
            client.show("pca")
        assert b"Authorization: Bearer secret" in received
