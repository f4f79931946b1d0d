"""Verdicts on one edge and on several edges."""

from opstore_daemon.protocol.records.base import Record, VerdictWord
from opstore_daemon.protocol.records.versions import PickedYanked


class OpVersion(Record, frozen=True, kw_only=True):
    """An op and one of its versions; None if it has no version."""

    op: str
    version: str | None


class EdgeVerdict(Record, frozen=True, kw_only=True):
    """The verdict of one edge, with its reason in words.

    `by_entry`: an entry for exactly the upstream version decides it. An invalid edge without one has not been
    validated.
    """

    upstream: OpVersion
    downstream: OpVersion
    verdict: VerdictWord
    reason: str
    by_entry: bool = False


class Validation(Record, frozen=True, kw_only=True):
    """The verdict over all edges, and the versions that it is about.

    `position` is the last entry of the journal that it can depend on, and its etag.
    """

    verdict: VerdictWord
    edges: tuple[EdgeVerdict, ...]
    versions: tuple[OpVersion, ...]
    pipeline: str | None = None
    picked_yanked: tuple[PickedYanked, ...] = ()
    position: int = 0
