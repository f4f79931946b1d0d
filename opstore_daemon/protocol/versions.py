"""Versions (three subversions, declared by ops) and numbers (given by the store)."""

import re
from typing import Any, NamedTuple, Self

from opstore_daemon.protocol import errors

HIGHEST = 2**31 - 1
NUMBER_RULE = "a number is MAJOR.MINOR.PATCH in ASCII digits, without leading zeros, each at most 2147483647"
VERSION_RULE = "a version is MAJOR.MINOR.PATCH, each 4 to 64 lower-case hex digits"

_NUMBER = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", re.ASCII)
_SUBVERSION = re.compile(r"[0-9a-f]{4,64}")


class Number(NamedTuple):
    """`2.0.1`: what the store calls a version of an op. Compares as three integers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `2.0.1`; raises InvalidNumber."""
        match = _NUMBER.fullmatch(text)
        if match is None or len(text) > 40 or any(int(part) > HIGHEST for part in match.groups()):
            raise errors.InvalidNumber(text=text[:200], rule=NUMBER_RULE)
        return cls(*(int(part) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class Version:
    """Three subversions: lower-case hex strings of 4 to 64 digits. Equal when all three are.

    `creation_time` is the time that the chariots form `MAJOR.MINOR.PATCH_TIME` carries: a note, no part of the
    version, and None elsewhere.
    """

    __slots__ = ("creation_time", "major", "minor", "patch")

    def __init__(self, major: str, minor: str, patch: str, creation_time: str | None = None) -> None:
        for subversion in (major, minor, patch):
            if _SUBVERSION.fullmatch(subversion) is None:
                raise errors.InvalidVersion(text=f"{major}.{minor}.{patch}"[:250], rule=VERSION_RULE)
        self.major, self.minor, self.patch = major, minor, patch
        self.creation_time = creation_time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `MAJOR.MINOR.PATCH` and `MAJOR.MINOR.PATCH_TIME`; raises InvalidVersion."""
        hexes, _, time = text.partition("_")
        parts = hexes.split(".")
        if len(parts) != 3 or len(time) > 64 or not time.isprintable():
            raise errors.InvalidVersion(text=text[:250], rule=VERSION_RULE)
        major, minor, patch = parts
        return cls(major, minor, patch, creation_time=time or None)

    @property
    def subversions(self) -> tuple[str, str, str]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    def __eq__(self, other: Any) -> bool:
        try:
            return self.subversions == (other.major, other.minor, other.patch)
        except AttributeError:
            return NotImplemented

    def __hash__(self) -> int:
        return hash(self.subversions)

    def __str__(self) -> str:
        return ".".join(self.subversions)

    def __repr__(self) -> str:
        return f"Version({str(self)!r})"
