"""The proof that a daemon on this machine knows a token, without the token being sent.

HMAC-SHA-256 (RFC 2104), by the SHA-256 of the token, of the nonce and the authority: the numeric address and the port
that the client connected to. Since it covers the authority, a process on another port or address can't relay the proof
of the real daemon.
"""

import hashlib
import hmac
import re
import secrets

_NONCE = re.compile(r"[0-9a-f]{32,128}")


def new_nonce() -> str:
    """Return a random nonce."""
    return secrets.token_hex(32)


def is_nonce(text: str) -> bool:
    """Return whether the text is a nonce: 32 to 128 hex digits."""
    return _NONCE.fullmatch(text) is not None


def authority(host: str, port: int) -> str:
    """Return `HOST:PORT` as in a Host header, for a numeric address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def key_of(token: str) -> bytes:
    """Return the key for proofs of a token: its SHA-256, so that a daemon need not keep the token itself."""
    return hashlib.sha256(token.encode()).digest()


def secret_of(token: str, instance: str | None) -> str:
    """Return the secret of one run of a daemon, which only those know who can read its token and its runtime file.

    The proof of a token alone is also valid for the daemon of a copied home. `instance` is the text in the runtime
    file; None, as an earlier release wrote none: the token.
    """
    return token if instance is None else f"{token} {instance}"


def prove(key: bytes, nonce: str, at: str) -> str:
    """Return the proof, in hex, that the daemon at the authority `at` knows the token of the key."""
    return hmac.new(key, f"opstore-proof:{at}:{nonce}".encode(), hashlib.sha256).hexdigest()


def is_proof(proofs: str, token: str, nonce: str, at: str) -> bool:
    """Return whether one of `proofs`, separated by commas, is the proof for these; compares in constant time."""
    expected = prove(key_of(token), nonce, at).encode()
    return any(hmac.compare_digest(each.strip().encode(), expected) for each in proofs.split(","))
