"""Filters by labels: `KEY` for any value, or `KEY=VALUE`."""

import re
from typing import Self

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText

MAX_FILTERS = 16  # of a request

_PATTERN = r"^[^\x00-\x1f\x7f=]{1,128}(?:=[^\x00]{0,1024})?(?![\s\S])"
_LEGAL = re.compile(_PATTERN)


class LabelFilter(CheckedText):
    """A condition on a version: it has a label with this key and, unless `value` is None, this value."""

    __slots__ = ("key", "value")

    PATTERN = _PATTERN

    key: str
    value: str | None

    def __new__(cls, text: str) -> Self:
        """Return the filter; nothing is checked."""
        label = super().__new__(cls, text)
        key, equals, value = text.partition("=")
        label.key, label.value = key, value if equals else None
        return label

    @classmethod
    def check(cls, text: str) -> None:
        """Raise InvalidLabel unless the text is `KEY` or `KEY=VALUE`."""
        if _LEGAL.match(text) is None:
            raise errors.InvalidLabel(label=text[:200])
