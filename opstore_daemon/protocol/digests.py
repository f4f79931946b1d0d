"""Digests: `sha256:` and 64 hex digits of all bytes of a blob, as OCI writes them."""

import binascii
import hashlib
import re
from typing import Protocol

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText

PREFIX = "sha256:"


class Digest(CheckedText):
    """The digest of a blob."""

    __slots__ = ()

    PATTERN = rf"^{PREFIX}[0-9a-f]{{64}}(?![\s\S])"

    @classmethod
    def check(cls, text: str) -> None:
        """Raise InvalidDigest unless the text is a digest."""
        if _LEGAL.match(text) is None:
            raise errors.InvalidDigest(text=text[:200])

    @property
    def hex(self) -> str:
        """The 64 hex digits."""
        return self.removeprefix(PREFIX)

    @property
    def base64(self) -> str:
        """Return the digest in base64, as S3 writes checksums."""
        return binascii.b2a_base64(bytes.fromhex(self.hex), newline=False).decode()


_LEGAL = re.compile(Digest.PATTERN)


class Hash(Protocol):
    """A hash object as hashlib and xxhash return it."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...
    def copy(self) -> "Hash": ...


def new_hash() -> Hash:
    """Return a SHA-256 hash of no bytes yet."""
    return hashlib.sha256(usedforsecurity=True)


def digest_of(hash_or_bytes: "Hash | bytes | bytearray | memoryview") -> Digest:
    """Return the digest of these bytes, or of all bytes that the hash was updated with."""
    if isinstance(hash_or_bytes, bytes | bytearray | memoryview):
        hash_or_bytes = hashlib.sha256(hash_or_bytes)
    return Digest(PREFIX + hash_or_bytes.hexdigest())
