"""What an op store of chariots holds, as `chariots-export` says it: a line of JSON for each of these.

Names and hashes are as the old store has them: whoever reads them checks them.
"""

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag=str.lower):
    """One line."""


class Version(Line, frozen=True, kw_only=True):
    """A version; they come in the order of their times. `links`: the downstream ops that it is valid for."""

    op: str
    major: str | None
    minor: str | None
    patch: str | None
    time: str | None
    links: tuple[str, ...]


class Pipeline(Line, frozen=True, kw_only=True):
    """A pipeline, and each of its ops with the one that takes its data, or with None."""

    name: str
    links: tuple[tuple[str, str | None], ...]


class Unreadable(Line, frozen=True, kw_only=True):
    """What is there and can't be read, and why."""

    what: str
    name: str
    reason: str


class Failed(Line, frozen=True, kw_only=True):
    """The error that ended it; nothing that came before counts."""

    code: str
    status: int
    text: str
    hint: str


Lines = Version | Pipeline | Unreadable | Failed
