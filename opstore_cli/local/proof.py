"""The proof that the other end of a connection knows the token, before the token is sent to it."""

import http.client
import socket

from opstore_cli.local.bounded_response import BoundedResponse
from opstore_daemon.protocol import proof, routes

MAX_BODY = 64 * 1024  # bytes of a health response


def knows_token(sock: socket.socket, token: str, prefix: str = "") -> bool:
    """Return whether the other end of a new connection proves that it knows the token.

    Use the connection only if it does. Each connection needs its own proof: the daemon may have stopped, and another
    user may have taken its port. `prefix` is the path of the daemon's URL. Raises OSError if the connection
    breaks.
    """
    nonce = proof.new_nonce()
    # The numeric address: another program may listen on another address of the same name.
    at = proof.authority(*sock.getpeername()[:2])
    head = f"GET {prefix}{routes.HEALTH} HTTP/1.1\r\nHost: {at}\r\n{routes.NONCE}: {nonce}\r\n\r\n"
    sock.sendall(head.encode())
    response = BoundedResponse(sock, method="GET")
    try:
        response.begin()
        rest = response.length is None or response.length > MAX_BODY
        if rest or response.will_close or response.status != http.HTTPStatus.OK:
            return False
        response.read()
        received = response.headers.get(routes.PROOF, "")
        return received.isascii() and proof.is_proof(received, token, nonce, at)
    except http.client.RemoteDisconnected:
        raise
    except http.client.HTTPException:
        return False
    finally:
        response.close()
