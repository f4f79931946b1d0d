"""Find out whether a server with which a connection failed speaks HTTP with or without TLS. No token is sent."""

import socket
import ssl

from opstore_daemon.protocol import routes

TIMEOUT = 2.0  # seconds

# OpenSSL's names for a response that is not a TLS record; they differ between its versions.
NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"}
)


class HandshakeFailed(ssl.SSLError):
    """TLS could not be established. `plain`: the server responds without TLS."""

    def __init__(self, failure: OSError, *, plain: bool) -> None:
        super().__init__(str(failure))
        self.failure, self.plain = failure, plain


def handshake_failed(failure: OSError, host: str, port: int, *, direct: bool) -> HandshakeFailed:
    """Return the error for a failed handshake. `direct`: there is no proxy, so a second connection may be opened."""
    refused = isinstance(failure, ssl.SSLCertVerificationError)
    not_tls = getattr(failure, "reason", None) in NOT_TLS
    return HandshakeFailed(failure, plain=not_tls or (direct and not refused and speaks_http(host, port)))


def speaks_http(host: str, port: int) -> bool:
    """Return whether the server responds to an HTTP request without TLS."""
    at = f"[{host}]" if ":" in host else host
    request = f"GET {routes.HEALTH} HTTP/1.1\r\nHost: {at}:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host.strip("[]"), port), TIMEOUT) as connection:
            connection.sendall(request.encode())
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def speaks_tls(host: str, port: int) -> bool:
    """Return whether the server establishes TLS, whatever its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), TIMEOUT) as connection, context.wrap_socket(connection):
            return True
    except OSError:
        return False
