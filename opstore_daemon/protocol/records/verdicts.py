"""Verdicts on one edge and on several edges."""

from collections.abc import Iterable

from opstore_daemon.protocol.records.base import (
    Basis,
    NameText,
    NumberText,
    Record,
    Sentence,
    VerdictWord,
    WithVerdict,
)
from opstore_daemon.protocol.reference_text import format_reference


class OpVersion(Record, frozen=True, kw_only=True):
    """An op and one of its versions; None if it has no version. Its text is `pca@1.0.0`."""

    IS_CELL = True

    op: NameText
    version: NumberText | None

    def __str__(self) -> str:
        return format_reference(self.op, self.version)


class EdgeVerdict(WithVerdict, Record, frozen=True, kw_only=True):
    """The verdict of one edge, the rule that decided it (docs/rules.md) and the reason in words.

    An invalid edge is `known-invalid` if a link says so, and `not-validated` if only other versions were validated.
    """

    upstream: OpVersion
    downstream: OpVersion
    verdict: VerdictWord
    basis: Basis
    reason: Sentence

    def __bool__(self) -> bool:
        """Return whether the verdict is valid."""
        return self.verdict == "valid"


def combine(words: Iterable[VerdictWord]) -> VerdictWord:
    """Return the verdict over several edges: invalid beats unknown, unknown beats valid."""
    found = set(words)
    if "invalid" in found:
        return "invalid"
    return "unknown" if "unknown" in found else "valid"
