"""Version numbers, which the store assigns, and subversions, which ops declare."""

import re
from datetime import datetime
from functools import lru_cache, total_ordering
from typing import Any, ClassVar, NamedTuple

from opstore_daemon.protocol import errors

HIGHEST = 2**31 - 1
VERSION_RULE = "a version is MAJOR.MINOR.PATCH in ASCII digits, without leading zeros, each at most 2147483647"
SUBVERSIONS_RULE = "subversions are MAJOR.MINOR.PATCH, each 4 to 64 lower-case hex digits"
MAX_TIME = 64  # characters of the time in MAJOR.MINOR.PATCH_TIME


def _decimals(highest: int) -> str:
    """Return a regular expression of the decimal numbers from 0 to `highest`, without leading zeros."""
    digits = str(highest)
    shorter = rf"0|[1-9][0-9]{{0,{len(digits) - 2}}}"
    smaller = [
        f"{digits[:place]}[{'0' if place else '1'}-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}"
        for place, digit in enumerate(digits)
        if digit > ("0" if place else "1")
    ]
    return f"(?:{'|'.join([shorter, *smaller, digits])})"


# A version number as JSON schemas and the decoders of responses check it. `VersionNumber.parse` is faster.
NUMBER_FORM = rf"{_decimals(HIGHEST)}(?:\.{_decimals(HIGHEST)}){{2}}"
_NUMBER = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", re.ASCII)
SUBVERSIONS_FORM = r"[0-9a-f]{4,64}(?:\.[0-9a-f]{4,64}){2}"
_SUBVERSION = re.compile(r"[0-9a-f]{4,64}")


class VersionNumber(NamedTuple):
    """A version number, such as `2.0.1`. Compares as three integers."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: "str | VersionNumber") -> "VersionNumber":
        """Parse `2.0.1`; raise InvalidVersion. A VersionNumber is returned unchanged."""
        if isinstance(text, VersionNumber):
            return text
        match = _NUMBER.fullmatch(text)
        if match is None or len(text) > 40 or any(int(part) > HIGHEST for part in match.groups()):
            raise errors.InvalidVersion(text=text[:200], rule=VERSION_RULE)
        return cls(*(int(part) for part in match.groups()))

    @lru_cache(4096)  # noqa: B019 - a few numbers are named in thousands of reasons
    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class Place(NamedTuple):
    """A version's place: its store, its op and its sequence there."""

    store: str
    op: str
    sequence: int


@total_ordering
class Version:
    """Three subversions: lower-case hex strings of 4 to 64 digits. Versions are equal if all three are.

    Foreign objects with equal subversions are equal too. `creation_time` is a note and not compared: the text of the
    time in the chariots form `MAJOR.MINOR.PATCH_TIME`, else the time of registration if the version came from a store,
    else None.

    Versions of one op from the same store compare by its order: the newer one is greater. Comparing any others, unless
    they are equal, raises TypeError: times do not order versions.
    """

    __slots__ = ("creation_time", "major", "minor", "patch", "place")

    PATTERN: ClassVar[str] = rf"^{SUBVERSIONS_FORM}(?:_[\s\S]{{0,64}})?(?![\s\S])"

    def __init__(
        self,
        major: str,
        minor: str,
        patch: str,
        creation_time: datetime | str | None = None,
        place: Place | None = None,
    ) -> None:
        """Check the subversions; raises InvalidSubversions."""
        subversions = (major, minor, patch)
        fits = all(isinstance(each, str) and _SUBVERSION.fullmatch(each) for each in subversions)
        if not fits or not _is_note(creation_time):
            raise errors.InvalidSubversions(text=f"{major}.{minor}.{patch}"[:250], rule=SUBVERSIONS_RULE)
        self.major, self.minor, self.patch = subversions
        self.creation_time = creation_time
        self.place = place

    @classmethod
    def parse(cls, text: "str | Version") -> "Version":
        """Parse `MAJOR.MINOR.PATCH` or `MAJOR.MINOR.PATCH_TIME`; raise InvalidSubversions.

        A Version is returned unchanged.
        """
        if isinstance(text, Version):
            return text
        hexes, _, time = text.partition("_")
        parts = hexes.split(".")
        if len(parts) != 3 or not _is_note(time):
            raise errors.InvalidSubversions(text=text[:250], rule=SUBVERSIONS_RULE)
        major, minor, patch = parts
        return cls(major, minor, patch, creation_time=time or None)

    @classmethod
    def of(cls, version: Any) -> "Version":
        """Return the version that a text or an object with `major`, `minor`, `patch` names; raises InvalidSubversions.

        The text of the object's `creation_time`, if it has one, becomes the note.
        """
        if isinstance(version, str | Version):
            return cls.parse(version)
        try:
            subversions = version.major, version.minor, version.patch
        except AttributeError:
            raise errors.InvalidSubversions(text=repr(version)[:250], rule=SUBVERSIONS_RULE) from None
        time = getattr(version, "creation_time", None)
        return cls(*subversions, creation_time=None if time is None else str(time))

    @property
    def subversions(self) -> tuple[str, str, str]:
        """Major, minor and patch."""
        return self.major, self.minor, self.patch

    @property
    def text_with_time(self) -> str:
        """The chariots form `MAJOR.MINOR.PATCH_TIME`; without `_TIME` if there is no note."""
        return str(self) if self.creation_time is None else f"{self}_{self.creation_time}"

    def __eq__(self, other: Any) -> bool:
        try:
            return self.subversions == (other.major, other.minor, other.patch)
        except AttributeError:
            return NotImplemented

    def __lt__(self, other: Any) -> bool:
        equal = self.__eq__(other)
        if equal is NotImplemented:
            return NotImplemented
        if equal:
            return False
        mine, its = self.place, getattr(other, "place", None)
        if mine is None or not isinstance(its, Place) or mine[:2] != its[:2]:
            raise TypeError(
                f"can't compare {self!r} with {other!r}: "
                "only versions of one op that came from the same store have an order"
            )
        return mine.sequence < its.sequence

    def __hash__(self) -> int:
        return hash(self.subversions)

    def __str__(self) -> str:
        return ".".join(self.subversions)

    def __repr__(self) -> str:
        return f"Version({str(self)!r})"


def _is_note(time: object) -> bool:
    return not isinstance(time, str) or (len(time) <= MAX_TIME and time.isprintable())
