"""The ops to retrain for a version."""

from opstore_daemon.protocol.records.base import NameText, NumberText, Record, Sentence, VerdictWord
from opstore_daemon.protocol.records.verdicts import OpVersion
from opstore_daemon.protocol.records.versions import Picked


class AffectedOp(Record, frozen=True, kw_only=True):
    """An op that has to be retrained, with its latest version, and why."""

    op: NameText
    version: NumberText | None
    verdict: VerdictWord
    reason: Sentence


class Affected(Record, frozen=True, kw_only=True):
    """The ops for which a version is not valid, direct ones first, and those downstream of them."""

    version: OpVersion
    affected: tuple[AffectedOp, ...]
    picked_yanked: Picked = ()
