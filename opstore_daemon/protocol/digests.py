"""Digests: `sha256:` and 64 hex digits of all bytes of a blob, as OCI writes them."""

import hashlib
import re
from typing import NewType, Protocol

from opstore_daemon.protocol import errors

Digest = NewType("Digest", str)

PREFIX = "sha256:"
_LEGAL = re.compile(r"sha256:[0-9a-f]{64}")


class Hash(Protocol):
    """What hashlib returns."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> "Hash": ...


def new_hash() -> Hash:
    """A hash that has seen nothing."""
    return hashlib.sha256(usedforsecurity=True)


def digest_of(hash_or_bytes: "Hash | bytes | bytearray | memoryview") -> Digest:
    """The digest of these bytes, or of all that the hash has seen."""
    if isinstance(hash_or_bytes, bytes | bytearray | memoryview):
        hash_or_bytes = hashlib.sha256(hash_or_bytes)
    return Digest(PREFIX + hash_or_bytes.hexdigest())


def parse_digest(text: str) -> Digest:
    """The text, if it is a digest; raises InvalidDigest."""
    if _LEGAL.fullmatch(text) is None:
        raise errors.InvalidDigest(text=text[:200])
    return Digest(text)


def hex_of(digest: Digest) -> str:
    """The 64 hex digits."""
    return digest.removeprefix(PREFIX)
