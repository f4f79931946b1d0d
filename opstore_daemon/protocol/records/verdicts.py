"""Verdicts, of an edge and over several."""

from opstore_daemon.protocol.records.base import Record, VerdictWord
from opstore_daemon.protocol.records.versions import PickedYanked


class OpVersion(Record, frozen=True, kw_only=True):
    """An op and one of its versions; None where it has no version."""

    op: str
    version: str | None


class EdgeVerdict(Record, frozen=True, kw_only=True):
    """The verdict of one edge, with its reason in words.

    `by_entry`: an entry for the very upstream version says so. An invalid edge that has none is not validated so far.
    """

    upstream: OpVersion
    downstream: OpVersion
    verdict: VerdictWord
    reason: str
    by_entry: bool = False


class Validation(Record, frozen=True, kw_only=True):
    """The verdict over all edges, and the versions that were asked about.

    `position` is that of the last entry of the journal that it may depend on, and its etag.
    """

    verdict: VerdictWord
    edges: tuple[EdgeVerdict, ...]
    versions: tuple[OpVersion, ...]
    pipeline: str | None = None
    picked_yanked: tuple[PickedYanked, ...] = ()
    position: int = 0
