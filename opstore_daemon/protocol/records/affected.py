"""The ops to retrain for a version."""

from opstore_daemon.protocol.records.base import Record, VerdictWord
from opstore_daemon.protocol.records.verdicts import OpVersion
from opstore_daemon.protocol.records.versions import PickedYanked


class AffectedOp(Record, frozen=True, kw_only=True):
    """An op that has to be retrained, with its latest version, and why."""

    op: str
    version: str | None
    verdict: VerdictWord
    reason: str


class Affected(Record, frozen=True, kw_only=True):
    """The ops for which a version is not valid, direct ones first, and those downstream of them."""

    version: OpVersion
    affected: tuple[AffectedOp, ...]
    picked_yanked: tuple[PickedYanked, ...] = ()
