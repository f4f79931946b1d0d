"""Verdicts on one edge and on several edges."""

from collections.abc import Iterable

from opstore_daemon.protocol.records.base import (
    Basis,
    NameText,
    NumberText,
    Position,
    Record,
    Sentence,
    VerdictWord,
    WithVerdict,
)
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted, short_text
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


class Validation(WithVerdict, Rows, Record, frozen=True, kw_only=True):
    """The verdict over all edges, and the versions that it is about.

    It is a sequence of the verdicts of its edges. `position` is the last entry of the journal that it can depend on,
    and its etag. A client that compares the versions' libraries with those of an environment adds an edge to
    `environment` for each difference, and `uncompared` has the versions that record no libraries.
    """

    ROWS = "edges"

    verdict: VerdictWord
    edges: tuple[EdgeVerdict, ...]
    versions: tuple[OpVersion, ...]
    pipeline: NameText | None = None
    picked_yanked: Picked = ()
    position: Position = 0
    uncompared: tuple[OpVersion, ...] = ()

    def _summary(self) -> str:
        """Return the verdict: of one edge with the reason, of a pipeline with the number of valid edges."""
        if self.pipeline is None:
            return short_text(f"{self.verdict}: {'; '.join(edge.reason for edge in self.edges)}")
        edges = [edge for edge in self.edges if edge.basis != "environment"]
        valid = sum(edge.verdict == "valid" for edge in edges)
        text = f"{self.pipeline}, {self.verdict}, {valid} of {counted(len(edges), 'edges')} valid"
        different = len(self.edges) - len(edges)
        return f"{text}, {counted(different, 'differences')} of libraries" if different else text

    def __bool__(self) -> bool:
        """Return whether the verdict is valid, so that `if client.validate(...)` is a gate."""
        return self.verdict == "valid"
