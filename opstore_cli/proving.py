"""Asks who answers on a port of this machine to prove that it knows the token, before the token is sent to it."""

import http.client
import socket

from opstore_daemon.protocol import proof, routes

MAX_BODY = 64 * 1024  # bytes of a health answer that are read


def knows_token(sock: socket.socket, host: str, port: int, token: str) -> bool:
    """Whether the other end of the fresh connection proves it. The connection may be used for requests after True.

    Asked of each connection anew: the daemon may have stopped and another user have taken its port in between.
    Raises OSError and http.client.HTTPException where the connection breaks or no HTTP is spoken.
    """
    nonce = proof.new_nonce()
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sock.sendall(f"GET {routes.HEALTH} HTTP/1.1\r\nHost: {authority}\r\n{routes.NONCE}: {nonce}\r\n\r\n".encode())
    response = http.client.HTTPResponse(sock, method="GET")
    try:
        response.begin()
        rest = response.length is None or response.length > MAX_BODY
        if rest or response.will_close or response.status != http.HTTPStatus.OK:
            return False
        response.read()
        given = response.headers.get(routes.PROOF, "")
        return given.isascii() and proof.is_proof(given, token, nonce, port)
    finally:
        response.close()
