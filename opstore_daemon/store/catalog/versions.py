"""Versions: registered, given their bytes, and told of."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, Executable, and_, bindparam, func, insert, null, select, update

from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Label, Op, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import NewVersion, VersionRecord
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules import numbering
from opstore_daemon.rules.numbering import AssignedNumbers
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import BLOCK, VersionRow
from opstore_daemon.store.snapshot import Snapshot, TimeFilter


class Blob(NamedTuple):
    """What a version is made of; `size` in bytes, and the sample where it was taken: of what came by an upload."""

    digest: Digest
    size: int
    sample: Sample | None = None


SOME = 10  # blobs of one sample that are told
_IN_FORCE = Label.until.is_(None)


class Added(NamedTuple):
    """A version, whether it or its bytes are new, and whether all of it is: then nothing was noted on it before."""

    row: VersionRow
    created: bool
    fresh: bool = False


def add(
    connection: Connection,
    op: OpRow,
    version: Subversions,
    blob: Blob | None,
    wanted: NewVersion,
    now: int,
) -> Added:
    """The op's version of these subversions; `wanted` says what else is noted.

    Raises VersionConflict where it has other bytes: a stored version never changes.
    """
    asked = dict(zip(("major", "minor", "patch"), version.subversions, strict=True))
    known, *given = _given(op_id=op.id, **asked).run(connection).one()
    if known is None:
        return Added(_register(connection, op, version, _number(op, *given), blob, wanted, now), True, fresh=True)
    found = _there(connection, op, known)
    if blob is None or found.digest == blob.digest:
        return Added(found, created=False)
    if found.digest is not None:
        number, digest = str(found.number), found.digest
        raise errors.VersionConflict(op=op.name, version=number, subversions=str(version), digest=digest)
    position = journal.append(connection, "version", now)
    ops.touch(connection, [op.id], position)
    told = {**blob._asdict(), "stored_position": position, "stored_message": wanted.message}
    _STORED.run(connection, {"version_id": found.id, **told, **_form(wanted)})
    return Added(_there(connection, op, known), created=True)


def _there(connection: Connection, op: OpRow, version_id: int) -> VersionRow:
    row = version_rows.first(Snapshot(connection), op.id, version_rows.with_id(version_id))
    assert row is not None, "it was seen in this transaction"  # noqa: S101
    return row


def _register(
    connection: Connection,
    op: OpRow,
    version: Subversions,
    number: VersionNumber,
    blob: Blob | None,
    wanted: NewVersion,
    now: int,
) -> VersionRow:
    position = journal.append(connection, "version", now)
    sequence = _next_sequence(op_id=op.id, at=position).run(connection).scalar_one()
    digest, size, sample = blob or (None, None, None)
    form = _form(wanted)
    note = None if version.creation_time is None else str(version.creation_time)
    row = {
        "op_id": op.id,
        "sequence": sequence,
        "major": version.major,
        "minor": version.minor,
        "patch": version.patch,
        "major_number": number.major,
        "minor_number": number.minor,
        "patch_number": number.patch,
        "digest": digest,
        "sample": sample,
        "size": size,
        "position": position,
        "stored_position": position if blob else None,
        "registered_at": now,
        "message": wanted.message,
        "note": note,
        **form,
    }
    return VersionRow(
        id=_REGISTER.run(connection, row).scalar_one(),
        op_id=op.id,
        op=op.name,
        sequence=sequence,
        version=".".join(version.subversions),
        number=number,
        digest=digest,
        size=size,
        position=position,
        registered_at=now,
        message=wanted.message,
        note=note,
        format=form["format"] if blob else None,
        libraries=form["libraries"] if blob else None,
        yank_reason=None,
    )


_REGISTER = Statement(insert(Version).returning(Version.id))
_STORED = Statement(update(Version).where(Version.id == bindparam("version_id")))


@prepared
def _next_sequence(*, op_id: int, at: int) -> Executable:
    """Counts the registration, and notes its entry as `ops.touch` does."""
    counted = update(Op).where(Op.id == op_id).values(last_sequence=Op.last_sequence + 1, changed=at)
    return counted.returning(Op.last_sequence)


def _number(op: OpRow, *given: int | None) -> VersionNumber:
    known_major, highest_major, known_minor, highest_minor, highest_patch = given
    return numbering.number(
        op.name,
        AssignedNumbers(known=known_major, highest=highest_major),
        AssignedNumbers(known=known_minor, highest=highest_minor),
        AssignedNumbers(highest=highest_patch),
    )


@prepared
def _given(*, op_id: int, major: str, minor: str, patch: str) -> Executable:
    """The version itself, and what numbers were given: for the same subversion, and at most.

    Each is a step down an index.
    """
    in_major = (Version.op_id == op_id, Version.major == major)
    in_minor = (*in_major, Version.minor == minor)
    known_major = select(Version.major_number).where(*in_major).limit(1).correlate(None).scalar_subquery()
    known_minor = select(Version.minor_number).where(*in_minor).limit(1).correlate(None).scalar_subquery()
    # By numbers, which an index has in their order: by subversions all versions of a line would have to be read.
    of_major = (Version.op_id == op_id, Version.major_number == known_major)
    asked = (
        select(Version.id).where(*in_minor, Version.patch == patch).scalar_subquery(),
        known_major,
        select(func.max(Version.major_number)).where(Version.op_id == op_id).scalar_subquery(),
        known_minor,
        select(func.max(Version.minor_number)).where(*of_major).scalar_subquery(),
        select(func.max(Version.patch_number)).where(*of_major, Version.minor_number == known_minor).scalar_subquery(),
    )
    return select(*asked)


def blobs_of(connection: Connection, sample: Sample) -> list[Blob]:
    """Some of the blobs with that sample which versions have, as far as it was taken."""
    return [Blob(*row) for row in _of_sample(sample=sample).run(connection)]


@prepared
def _of_sample(*, sample: str) -> Executable:
    return select(Version.digest, Version.size).where(Version.sample == sample).distinct().limit(SOME)


def size_of_blob(connection: Connection, digest: Digest) -> int | None:
    """The size in bytes that versions with these bytes have; None where no version has them."""
    size: int | None = _of_blob(digest=digest).run(connection).scalar()
    return size


@prepared
def _of_blob(*, digest: str) -> Executable:
    return select(Version.size).where(Version.digest == digest).limit(1)


def _form(wanted: NewVersion) -> dict[str, str | None]:
    """What the bytes are."""
    return {
        "format": wanted.format,
        "libraries": json.dumps(wanted.libraries, sort_keys=True) if wanted.libraries else None,
    }


def set_labels(connection: Connection, added: Added, labels: Mapping[str, str], now: int) -> None:
    """Notes the labels on the version; a key that it has gets the new value.

    What is new on a version that was there before is an entry of its own.
    """
    row = added.row
    known = {} if added.fresh else records(Snapshot(connection), [row])[0].labels
    changed = {key: value for key, value in labels.items() if known.get(key) != value}
    if not changed:
        return
    position = journal.last(connection) if added.created else journal.append(connection, "version", now)
    replaced = and_(Label.version_id == row.id, Label.key.in_(list(changed)), _IN_FORCE)
    connection.execute(update(Label).where(replaced).values(until=position))
    values = [
        {"version_id": row.id, "key": key, "position": position, "value": value} for key, value in changed.items()
    ]
    connection.execute(insert(Label), values)


def records(snapshot: Snapshot, rows: Sequence[VersionRow]) -> list[VersionRecord]:
    """What is known of these versions, in their order."""
    labels: dict[int, dict[str, str]] = {row.id: {} for row in rows}
    tags: dict[int, list[str]] = {row.id: [] for row in rows}
    for start in range(0, len(rows), BLOCK // 2):  # a statement takes only so many parameters: here each id is two
        ids = [row.id for row in rows[start : start + BLOCK // 2]]
        # One has a statement of its own: a list of values is put together anew each time.
        query = (
            _noted(snapshot.time_filter, True, ids=ids[0])
            if len(ids) == 1
            else _noted(snapshot.time_filter, False, ids=ids)
        )
        for id_, name, value in snapshot.execute(query):
            if value is None:
                tags[id_].append(name)
            else:
                labels[id_][name] = value
    return [record(row, labels[row.id], tags[row.id]) for row in rows]


def record(row: VersionRow, labels: Mapping[str, str], tags: Iterable[str]) -> VersionRecord:
    """The version as it is told of."""
    return VersionRecord(
        op=row.op,
        version=str(row.number),
        subversions=row.version,
        sequence=row.sequence,
        digest=row.digest,
        size=row.size,
        registered_at=journal.moment(row.registered_at),
        labels=dict(sorted(labels.items())),
        tags=tuple(sorted(set(tags))),
        yanked=row.yanked,
        yank_reason=row.yank_reason,
        message=row.message,
        note=row.note,
        format=row.format,
        libraries=json.loads(row.libraries or "{}"),
        position=row.position,
    )


@prepared
def _noted(time_filter: TimeFilter, one: bool, *, ids: int | Sequence[int]) -> Executable:
    """Labels and tags of these versions, or of the one: a tag has no value."""

    def theirs(table: type[Label | Tag]) -> ColumnElement[bool]:
        of_them = table.version_id == ids if one else table.version_id.in_(cast(Sequence[int], ids))
        return and_(of_them, time_filter.in_force(table))

    labels = select(Label.version_id, Label.key, Label.value).where(theirs(Label))
    return labels.union_all(select(Tag.version_id, Tag.name, null()).where(theirs(Tag)))


def newest(snapshot: Snapshot, op_id: int, below: int | None, limit: int) -> list[VersionRow]:
    """All versions of the op, newest first, at most `limit` of those below a sequence."""
    return version_rows.rows(snapshot, op_id, version_rows.older_than(below), limit=limit)
