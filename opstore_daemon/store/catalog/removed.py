"""What was removed: when, by whom and why. Read only for error messages."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from opstore_daemon.metadata.tables import Journal, Op, Removal, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records.short_text import one_line
from opstore_daemon.protocol.references import DigestPrefix, Selector
from opstore_daemon.protocol.references import Tag as TagSelector
from opstore_daemon.protocol.times import AsOf
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import version_rows
from opstore_daemon.store.catalog.version_rows import Where
from opstore_daemon.store.snapshot import Snapshot

MAX_REASON = 300  # characters that a message has


@dataclass(frozen=True, slots=True)
class RemovedVersion:
    """A removed version: its id and number, and when, by whom and why it was removed.

    `before` is the last position at which it was there.
    """

    id: int
    op: str
    number: VersionNumber
    subversions: str
    at: datetime
    author: str | None
    reason: str | None
    before: int

    @property
    def how(self) -> str:
        """When, by whom and why it was removed, in words."""
        return how(self.at, self.author, self.reason)

    def error(self) -> errors.VersionRemoved:
        """Return the error for a reference that selects it."""
        return errors.VersionRemoved(
            op=self.op,
            version=str(self.number),
            how=self.how,
            removed_at=AsOf.of(self.at),
            author=self.author,
            reason=self.reason,
            before=str(self.before),
        )


def how(at: datetime, author: str | None, reason: str | None) -> str:
    """Return when, by whom and why something was removed, in words."""
    words = f"at {AsOf.of(at.replace(microsecond=0)).shown}"
    words += "" if author is None else f" by {one_line(author)}"
    return words if reason is None else f"{words}: {one_line(reason, MAX_REASON)}"


def find(snapshot: Snapshot, op: OpName, op_id: int, where: Where) -> RemovedVersion | None:
    """Return the newest of the op's removed versions that meet the conditions, or None."""
    numbers = (Version.major_number, Version.minor_number, Version.patch_number)
    hashes = (Version.major, Version.minor, Version.patch)
    query = select(Version.id, *numbers, *hashes, Journal.position, Journal.at, Journal.author, Removal.reason)
    query = query.join(Removal, Removal.position == Version.removed_position)
    query = query.join(Journal, Journal.position == Version.removed_position)
    query = query.where(Version.op_id == op_id, Version.removed_position.is_not(None), *where.conditions)
    query = query.where(Version.removed_position <= snapshot.last_position())
    row = snapshot.connection.execute(query.order_by(Version.sequence.desc()).limit(1), where.values).first()
    if row is None:
        return None
    version_id, major, minor, patch, *hashed, position, at, author, reason = row
    return RemovedVersion(
        id=version_id,
        op=op,
        number=VersionNumber(major, minor, patch),
        subversions=".".join(hashed),
        at=journal.to_datetime(at),
        author=author,
        reason=reason,
        before=journal.start_of_transaction(snapshot.connection, position) - 1,
    )


def find_selected(snapshot: Snapshot, op: OpName, op_id: int, selector: Selector) -> RemovedVersion | None:
    """Return the removed version that the selector names exactly: by its number, digest or subversions; else None."""
    match selector:
        case VersionNumber() as number:
            return find(snapshot, op, op_id, version_rows.with_number_prefix(number))
        case Subversions() as subversions:
            return find(snapshot, op, op_id, version_rows.with_subversions(subversions))
        case DigestPrefix(digits):
            return _with_digest(snapshot, op, op_id, digits)
        case TagSelector(name) if (found := name.digits()) is not None:
            return _with_digest(snapshot, op, op_id, found)
    return None


def _with_digest(snapshot: Snapshot, op: OpName, op_id: int, digits: str) -> RemovedVersion | None:
    conditions = (Version.digest >= f"sha256:{digits}", Version.digest < f"sha256:{digits}g")
    return find(snapshot, op, op_id, Where(conditions))


def of_op(snapshot: Snapshot, name: OpName) -> str:
    """Return when, by whom and why the op of that name, which is removed, was removed, in words."""
    query = select(Journal.at, Journal.author, Removal.reason).join(Journal, Journal.position == Removal.position)
    query = query.join(Op, Op.id == Removal.op_id).where(Op.name == name, Removal.version_id.is_(None))
    at, author, reason = snapshot.execute(query.where(snapshot.time_filter.in_force(Removal))).one()
    return how(journal.to_datetime(at), author, reason)
