"""Removals of versions and ops, and what they break."""

from typing import Literal

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records.base import (
    Count,
    NameText,
    Position,
    Reason,
    Record,
    References,
    Request,
    Sentence,
)
from opstore_daemon.protocol.records.base import Size as Bytes
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.records.verdicts import OpVersion
from opstore_daemon.protocol.sizes import format_size

MAX_NAMED = 100  # of what needs a version, in the details of an error
NeedKind = Literal["link", "tag", "pipeline"]


class Need(Record, frozen=True, kw_only=True):
    """Something that needs a version, or an op: a valid link, a tag, or the resolution of a pipeline.

    `what` is the other end of the link, the tag, or the pipeline; `words` says all of it.
    """

    kind: NeedKind
    version: OpVersion
    what: Sentence
    words: Sentence

    def _summary(self) -> str:
        """Return it in words."""
        return self.words


class Removal(Rows, Record, frozen=True, kw_only=True):
    """What was removed or, with `dry_run`, would be. It is a sequence of the removed versions, `OpVersion`s.

    `ops` are the ops that were removed as a whole. `broken` is what needed them, at most the first thousand of
    `broken_count`: its links are revoked, and its tags removed. `freeable` are the bytes that no other version has.
    `position` is that of the last entry of the journal; None if nothing was written.
    """

    ROWS = "removed"
    SIZES = frozenset({"freeable"})

    removed: tuple[OpVersion, ...]
    ops: tuple[NameText, ...] = ()
    broken: tuple[Need, ...] = ()
    broken_count: Count = 0
    freeable: Bytes = 0
    dry_run: bool = False
    position: Position | None = None

    def _summary(self) -> str:
        """Return what was removed, what that broke, and the bytes that it leaves to the collector."""
        words = [short(self.removed), *(f"op {op}" for op in self.ops)]
        if self.broken_count:
            words.append(f"{self.broken_count} broken")
        return ", ".join([*filter(None, words), f"{format_size(self.freeable)} freeable"])

    def refusal(self) -> errors.StillNeeded:
        """Return the error for what is still needed."""
        needs = [
            {"kind": need.kind, "version": str(need.version), "what": need.what, "words": need.words}
            for need in self.broken[:MAX_NAMED]
        ]
        return errors.StillNeeded.of(needs, self.broken_count)


def short(versions: tuple[OpVersion, ...]) -> str:
    """Return the versions, or how many they are."""
    return " ".join(map(str, versions)) if len(versions) <= 3 else counted(len(versions), "versions")


class NewRemoval(Request, frozen=True, kw_only=True):
    """The versions to remove, or the ops: by name, without versions or with `all_versions`; all of them, or none.

    With `force`, also what is still needed. With `dry_run`, nothing is removed.
    """

    references: References
    all_versions: bool = False
    force: bool = False
    dry_run: bool = False
    reason: Reason | None = None
