"""The ops to retrain for a version."""

from opstore_daemon.protocol.records.base import Basis, NameText, NumberText, Record, Sentence, VerdictWord, WithVerdict
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.verdicts import OpVersion


class AffectedOp(WithVerdict, Record, frozen=True, kw_only=True):
    """An op that has to be retrained, with its latest version, and why."""

    op: NameText
    version: NumberText | None
    verdict: VerdictWord
    basis: Basis
    reason: Sentence


class Affected(Rows, Record, frozen=True, kw_only=True):
    """The ops for which a version is not valid, direct ones first, and those downstream of them.

    It is a sequence of the `AffectedOp`s, so it is true if there is any.
    """

    ROWS = "affected"

    version: OpVersion
    affected: tuple[AffectedOp, ...]
    picked_yanked: Picked = ()
