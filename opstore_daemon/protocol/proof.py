"""The proof that who answers on a port of this machine knows the token, without the token being sent.

HMAC-SHA-256 (RFC 2104) by the token of the nonce and the port. The port is in it so that a stranger on one port
cannot pass on the answer of the real daemon on another.
"""

import hashlib
import hmac
import re
import secrets

_NONCE = re.compile(r"[0-9a-f]{32,128}")


def new_nonce() -> str:
    """A nonce that nobody has seen."""
    return secrets.token_hex(32)


def is_nonce(text: str) -> bool:
    """Whether the text has the form of a nonce: 32 to 128 hex digits."""
    return _NONCE.fullmatch(text) is not None


def prove(token: str, nonce: str, port: int) -> str:
    """The proof, in hex, of whoever knows the token and listens on the port."""
    return hmac.new(token.encode(), f"opstore-proof:{port}:{nonce}".encode(), hashlib.sha256).hexdigest()


def is_proof(given: str, token: str, nonce: str, port: int) -> bool:
    """Whether it is that proof, compared in constant time."""
    return hmac.compare_digest(given.encode(), prove(token, nonce, port).encode())
