"""The verdict over all edges between some versions, and whether exactly these versions were run together."""

from opstore_daemon.protocol.records.base import (
    DigestText,
    NameText,
    Position,
    Record,
    Sentence,
    SetBasis,
    VerdictWord,
    WithVerdict,
)
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.runs import RunRecord
from opstore_daemon.protocol.records.short_text import counted, short_text
from opstore_daemon.protocol.records.verdicts import EdgeVerdict, OpVersion


class SetVerdict(WithVerdict, Record, frozen=True, kw_only=True):
    """The verdict on a set as a whole, by the newest run of exactly these versions that passed or failed.

    Its basis is `run` (it passed), `run-failed`, or `not-run` if there is none.
    """

    verdict: VerdictWord
    basis: SetBasis
    reason: Sentence

    def __bool__(self) -> bool:
        """Return whether the newest run passed."""
        return self.verdict == "valid"


class Validation(WithVerdict, Rows, Record, frozen=True, kw_only=True):
    """The verdict over all edges, and the versions that it is about.

    It is a sequence of the verdicts of its edges. `position` is the last entry of the journal that it can depend on,
    and its etag. A client that compares the versions' libraries with those of an environment adds an edge to
    `environment` for each difference, and `uncompared` has the versions that record no libraries.

    Of a pipeline, `set` is the digest of the versions as a set, None if an op has no version. `run` is the newest run
    of exactly this set that passed or failed. `exact_set` is the verdict by that run if it was asked for: then it
    counts as the edges do.
    """

    ROWS = "edges"

    verdict: VerdictWord
    edges: tuple[EdgeVerdict, ...]
    versions: tuple[OpVersion, ...]
    pipeline: NameText | None = None
    set: DigestText | None = None
    run: RunRecord | None = None
    exact_set: SetVerdict | None = None
    picked_yanked: Picked = ()
    position: Position = 0
    uncompared: tuple[OpVersion, ...] = ()

    def _summary(self) -> str:
        """Return the verdict: of one edge with the reason, of a pipeline with the number of valid edges."""
        if self.pipeline is None:
            return short_text(f"{self.verdict}: {'; '.join(edge.reason for edge in self.edges)}")
        edges = [edge for edge in self.edges if edge.basis != "environment"]
        valid = sum(edge.verdict == "valid" for edge in edges)
        words = [self.pipeline, self.verdict, f"{valid} of {counted(len(edges), 'edges')} valid"]
        different = len(self.edges) - len(edges)
        if different:
            words.append(f"{counted(different, 'differences')} of libraries")
        if self.exact_set is not None:
            words.append(short_text(self.exact_set.reason))
        elif self.run is not None:
            words.append(f"run {self.run.position} {self.run.result}")
        return ", ".join(words)

    def __bool__(self) -> bool:
        """Return whether the verdict is valid, so that `if client.validate(...)` is a gate."""
        return self.verdict == "valid"
