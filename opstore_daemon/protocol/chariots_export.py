"""The output of `chariots-export`: one line of JSON for each of these records.

Names and hashes are those of the old store; the reader has to check them.
"""

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=str.lower):
    """One line of output."""


class Version(Line, frozen=True, kw_only=True):
    """A version; versions are in the order of their times. `links`: the downstream ops that it is valid for."""

    op: str
    major: str | None
    minor: str | None
    patch: str | None
    time: str | None
    links: tuple[str, ...]


class Pipeline(Line, frozen=True, kw_only=True):
    """A pipeline: each of its ops with the op that takes its output, or with None."""

    name: str
    links: tuple[tuple[str, str | None], ...]


class Unreadable(Line, frozen=True, kw_only=True):
    """An item that can't be read, and why."""

    what: str
    name: str
    reason: str


class Failed(Line, frozen=True, kw_only=True):
    """The error that ended the export; ignore everything before it."""

    code: str
    status: int
    text: str
    hint: str


Lines = Version | Pipeline | Unreadable | Failed
