"""Versions of an op as rows, selected by conditions that an index serves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Executable, and_, bindparam, case, func, or_, select, tuple_

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import DamagedBlob, Message, Op, Version
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

FIRST_BLOCK = 10  # rows of the first read, which usually contain the result
BLOCK = 1000  # rows of each further read; a query costs as much as about 100 of them


class VersionRow(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A version as a snapshot sees it. Rows compare by identity, which makes sets of them fast for the resolution."""

    id: int
    op_id: int
    op: str
    sequence: int
    version: str
    number: VersionNumber
    digest: Digest | None
    size: int | None
    position: int
    registered_at: int
    message: str | None
    note: str | None
    format: str | None
    libraries: str | None
    filename: str | None
    executable: bool
    yank_reason: str | None
    damage: str | None = None  # what is wrong with its bytes, if their blob is marked

    @property
    def yanked(self) -> bool:
        """Whether the version is yanked: each yank has a reason."""
        return self.yank_reason is not None


_COLUMNS = (
    Version.id,
    Version.op_id,
    Op.name,
    Version.sequence,
    Version.major,
    Version.minor,
    Version.patch,
    Version.major_number,
    Version.minor_number,
    Version.patch_number,
    Version.digest,
    Version.size,
    Version.stored_position,
    Version.position,
    Version.registered_at,
    Version.message,
    Version.stored_message,
    Version.note,
    Version.format,
    Version.libraries,
    Version.filename,
    Version.executable,
)
# A subquery, which finds nothing in an index that is nearly always empty: no further statement.
_DAMAGE = select(DamagedBlob.problem).where(DamagedBlob.digest == Version.digest).correlate(Version).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions on versions, and the values of their parameters.

    Statements are cached by the identity of the conditions, so the functions below share condition objects.
    """

    conditions: tuple[ColumnElement[bool], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __and__(self, other: "Where") -> "Where":
        return Where(self.conditions + other.conditions, {**self.values, **other.values})


ALL = Where()


def rows(snapshot: Snapshot, op_id: int, where: Where = ALL, limit: int | None = None) -> list[VersionRow]:
    """Return the versions of the op that meet the conditions, newest first."""
    values = where.values if limit is None else {**where.values, "limit": limit}
    query = _rows(snapshot.time_filter, where.conditions, op_id=op_id, **values)
    return [_row(snapshot, row) for row in snapshot.execute(query).all()]


@prepared
def _rows(
    time_filter: TimeFilter,
    conditions: tuple[ColumnElement[bool], ...],
    *,
    op_id: int,
    limit: int | None = None,
    **_: object,
) -> Executable:
    query = select(*_COLUMNS, time_filter.yank_reason(), _DAMAGE).join(Op, Op.id == Version.op_id)
    query = query.where(Version.op_id == op_id, time_filter.existing_versions(op_id), *conditions)
    return query.order_by(Version.sequence.desc()).limit(limit)


def _row(snapshot: Snapshot, row: Sequence[Any]) -> VersionRow:
    id_, own_op, op, sequence, *rest = row
    subversions, numbers, (digest, size, stored_position), rest = rest[:3], rest[3:6], rest[6:9], rest[9:]
    position, registered_at, message, stored_message, note, *of_bytes, yank_reason, damage = rest
    format_, libraries, filename, executable = of_bytes
    stored = snapshot.is_visible(stored_position)
    return VersionRow(
        id=id_,
        op_id=own_op,
        op=op,
        sequence=sequence,
        version=".".join(subversions),
        number=VersionNumber(*numbers),
        digest=digest if stored else None,
        size=size if stored else None,
        position=position,
        registered_at=registered_at,
        message=stored_message if stored and stored_message is not None else message,
        note=note,
        format=format_ if stored else None,
        libraries=libraries if stored else None,
        filename=filename if stored else None,
        executable=bool(executable and stored),
        yank_reason=yank_reason,
        damage=damage if stored else None,
    )


def current_message(time_filter: TimeFilter) -> ColumnElement[str | None]:
    """Return the message of a version: the edited one, else that of the push, else that of the registration."""
    edited = select(Message.text).where(Message.version_id == Version.id, time_filter.in_force(Message))
    pushed = case((time_filter.stored(), Version.stored_message))
    return func.coalesce(edited.correlate(Version).scalar_subquery(), pushed, Version.message)


_NUMBERS = (
    Version.major_number == bindparam("major_number"),
    Version.minor_number == bindparam("minor_number"),
    Version.patch_number == bindparam("patch_number"),
)
_SUBVERSIONS = (
    Version.major == bindparam("major"),
    Version.minor == bindparam("minor"),
    Version.patch == bindparam("patch"),
)
_WITH_ID = Version.id == bindparam("version_id")
# A client may name a larger number than a column of PostgreSQL holds.
_OLDER = Version.sequence < bindparam("sequence", type_=BigInteger)
_NEWER = Version.sequence > bindparam("above", type_=BigInteger)
_DIGEST = Version.digest == bindparam("digest")
_NUMBER = tuple_(Version.major_number, Version.minor_number, Version.patch_number)
_WITH_NUMBERS = _NUMBER.in_(bindparam("numbers"))


_WITHOUT_BYTES, _WITH_BYTES = Where((Version.digest.is_(None),)), Where((Version.digest.is_not(None),))


def with_number_prefix(numbers: Sequence[int]) -> Where:
    """Select the versions whose number begins with these numbers: (1, 4) selects 1.4.0 and 1.4.2."""
    return Where(_NUMBERS[: len(numbers)], dict(zip(("major_number", "minor_number", "patch_number"), numbers)))  # noqa: B905


def with_numbers(numbers: Sequence[Sequence[int]]) -> Where:
    """Select the versions with these complete numbers."""
    return Where((_WITH_NUMBERS,), {"numbers": [tuple(number) for number in numbers]})


def either(version: VersionRow, where: Where) -> Where:
    """Select that version and those that meet the conditions."""
    return Where((_itself_or(where.conditions),), {**where.values, "itself": version.id})


@lru_cache
def _itself_or(conditions: tuple[ColumnElement[bool], ...]) -> ColumnElement[bool]:
    return or_(Version.id == bindparam("itself"), and_(*conditions))


def with_subversions(version: Subversions) -> Where:
    """Select the version with these subversions."""
    return Where(_SUBVERSIONS, dict(zip(("major", "minor", "patch"), version.subversions, strict=True)))


def with_id(version_id: int) -> Where:
    """Select the version with this id."""
    return Where((_WITH_ID,), {"version_id": version_id})


def with_digest(digest: str) -> Where:
    """Select the versions with this digest."""
    return Where((_DIGEST,), {"digest": digest})


def older_than(sequence: int | None) -> Where:
    """Select the versions below that sequence; None: all."""
    return ALL if sequence is None else Where((_OLDER,), {"sequence": sequence})


def newer_than(sequence: int) -> Where:
    """Select the versions above that sequence."""
    return Where((_NEWER,), {"above": sequence})


def first(snapshot: Snapshot, op_id: int, where: Where = ALL) -> VersionRow | None:
    """Return the newest version of the op that meets the conditions, or None."""
    found = rows(snapshot, op_id, where, limit=1)
    return found[0] if found else None


def stored(snapshot: Snapshot) -> Where:
    """Select the stored versions."""
    return Where((snapshot.time_filter.stored(),))


def not_yanked(snapshot: Snapshot) -> Where:
    """Select the versions that are not yanked."""
    return Where((snapshot.time_filter.not_yanked(),))


def candidates(snapshot: Snapshot, op_id: int, where: Where = ALL) -> Where:
    """Select what `latest` could select among those: not yanked, and stored if any of them is."""
    among = where & not_yanked(snapshot)
    if _any_stored(snapshot, op_id, where):
        return among & stored(snapshot)
    return among & _WITHOUT_BYTES if snapshot.position is None else among


def latest(snapshot: Snapshot, op_id: int, where: Where = ALL) -> VersionRow | None:
    """Return the latest version of the op among those that meet the conditions, or None."""
    among = where & not_yanked(snapshot)
    found = first(snapshot, op_id, among & stored(snapshot))
    if found is not None or _any_stored(snapshot, op_id, where):
        return found
    # None of them is stored, or in a past state was then. One index has those without bytes, another one the others.
    halves = (_WITHOUT_BYTES,) if snapshot.position is None else (_WITHOUT_BYTES, _WITH_BYTES)
    newest = [row for half in halves if (row := first(snapshot, op_id, among & half)) is not None]
    return max(newest, key=lambda row: row.sequence, default=None)


def _any_stored(snapshot: Snapshot, op_id: int, where: Where) -> bool:
    query = _exists(snapshot.time_filter, (where & stored(snapshot)).conditions, op_id=op_id, **where.values)
    return bool(snapshot.execute(query).scalar_one())


@prepared
def _exists(
    time_filter: TimeFilter, conditions: tuple[ColumnElement[bool], ...], *, op_id: int, **_: object
) -> Executable:
    # Not EXISTS: PostgreSQL might read the table from its start, as if the op's versions were spread over all of it.
    there = select(Version.id).where(Version.op_id == op_id, time_filter.existing_versions(op_id), *conditions)
    return select(there.order_by(Version.sequence).limit(1).scalar_subquery().is_not(None))


def newest(snapshot: Snapshot, op_id: int) -> VersionRow | None:
    """Return the newest stored version, yanked or not; the newest registered one if none is stored; None if neither."""
    return first(snapshot, op_id, stored(snapshot)) or first(snapshot, op_id)


def by_subversions(snapshot: Snapshot, op_id: int, version: Subversions) -> VersionRow | None:
    """Return the version of the op with these subversions, or None."""
    return first(snapshot, op_id, with_subversions(version))


def by_id(snapshot: Snapshot, version_id: int) -> VersionRow | None:
    """Return the version with this id as the snapshot sees it, or None."""
    op_id = snapshot.execute(_op_of(version_id=version_id)).scalar()
    return None if op_id is None else first(snapshot, op_id, with_id(version_id))


@prepared
def _op_of(*, version_id: int) -> Executable:
    return select(Version.op_id).where(Version.id == version_id)


def id_of(snapshot: Snapshot, op_id: int, number: VersionNumber) -> int | None:
    """Return the id of the version with that number, also of one that is removed, or None."""
    where = with_number_prefix(number)
    found: int | None = snapshot.execute(_id_of(where.conditions, op_id=op_id, **where.values)).scalar()
    return found


@prepared
def _id_of(conditions: tuple[ColumnElement[bool], ...], *, op_id: int, **_: object) -> Executable:
    return select(Version.id).where(Version.op_id == op_id, *conditions)


def sequences(snapshot: Snapshot, op_id: int, above: int, limit: int, *, oldest_first: bool = False) -> list[int]:
    """Return the sequences of at most `limit` versions of the op above that one, newest first or oldest first."""
    query = _sequences(snapshot.time_filter, oldest_first, op_id=op_id, above=above, limit=limit)
    return list(snapshot.execute(query).scalars())


@prepared
def _sequences(time_filter: TimeFilter, oldest_first: bool, *, op_id: int, above: int, limit: int) -> Executable:
    query = select(Version.sequence).where(Version.op_id == op_id, Version.sequence > above)
    query = query.where(time_filter.existing_versions(op_id))
    return query.order_by(Version.sequence if oldest_first else Version.sequence.desc()).limit(limit)


def newest_first(snapshot: Snapshot, op_id: int, where: Where) -> Iterator[VersionRow]:
    """Yield the versions that meet the conditions, newest first; read them in blocks."""
    for block in blocks(snapshot, op_id, where):
        yield from block


def blocks(snapshot: Snapshot, op_id: int, where: Where) -> Iterator[list[VersionRow]]:
    """Yield the versions that meet the conditions in blocks, newest first."""
    older, size = where, FIRST_BLOCK
    while True:
        block = rows(snapshot, op_id, older, limit=size)
        if block:
            yield block
        if len(block) < size:
            return
        older, size = where & older_than(block[-1].sequence), BLOCK
