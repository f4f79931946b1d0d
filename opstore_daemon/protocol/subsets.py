"""Subsets of blobs: `1/7` is the first of seven parts of all digests, so that seven runs cover each blob once."""

import re

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.digests import PREFIX

MAX_PARTS = 65536  # one for each value of the first four digits
_DIGITS = 16  # of a digest, which decide its part


class Subset(CheckedText):
    """A part of all digests, as `N/M`: a range of them, so that a part stays the same when blobs come and go."""

    __slots__ = ()

    PATTERN = r"^[1-9][0-9]{0,4}/[1-9][0-9]{0,4}(?![\s\S])"

    @classmethod
    def check(cls, text: str) -> None:
        """Raise InvalidRequest unless the text is a subset."""
        part, _, parts = text.partition("/")
        if _LEGAL.match(text) is None or not int(part) <= int(parts) <= MAX_PARTS:
            reason = (
                f"{text[:40]!r} is not a subset: it is N/M, such as 1/7, with N from 1 to M and M up to {MAX_PARTS}"
            )
            raise errors.InvalidRequest(reason=reason)

    @property
    def bounds(self) -> tuple[str, str]:
        """The beginnings of its first digest and of the first digest after it; the digests sort as texts."""
        part, parts = map(int, self.split("/"))
        return _beginning(part - 1, parts), _beginning(part, parts)


def _beginning(part: int, parts: int) -> str:
    """Return the beginning of the first digest of a part, counted from 0."""
    first = -(-(part << 4 * _DIGITS) // parts)
    # Behind the last part is what sorts after every digest.
    return f"{PREFIX}{first:0{_DIGITS}x}" if part < parts else f"{PREFIX}g"


_LEGAL = re.compile(Subset.PATTERN)
