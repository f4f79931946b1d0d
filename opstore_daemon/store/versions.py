"""Versions: registered, given their bytes, and told of."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Connection, Executable, and_, bindparam, exists, func, insert, select, update

from opstore_daemon.metadata.prepared import prepared
from opstore_daemon.metadata.tables import Label, Op, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import NewVersion, VersionRecord
from opstore_daemon.protocol.versions import Number
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.rules import numbering
from opstore_daemon.rules.numbering import Given
from opstore_daemon.store import journal, lookup, ops
from opstore_daemon.store.lookup import BLOCK, VersionRow
from opstore_daemon.store.ops import OpRow
from opstore_daemon.store.view import NOW, Sight, View

Blob = tuple[Digest, int]  # and its size in bytes
_IN_FORCE = Label.until.is_(None)


def add(
    connection: Connection,
    op: OpRow,
    version: Subversions,
    blob: Blob | None,
    wanted: NewVersion,
    now: int,
) -> tuple[VersionRow, bool]:
    """The op's version of these subversions, and whether it or its bytes are new; `wanted` says what else is noted.

    Raises VersionConflict where it has other bytes: a stored version never changes.
    """
    found = lookup.by_subversions(View(connection), op.id, version)
    if found is None:
        return _register(connection, op, version, blob, wanted, now), True
    if blob is None or found.digest == blob[0]:
        return found, False
    if found.digest is not None:
        number, digest = str(found.number), found.digest
        raise errors.VersionConflict(op=op.name, number=number, version=str(version), digest=digest)
    position = journal.enter(connection, "version", now)
    ops.touch(connection, [op.id], position)
    told = {"digest": blob[0], "size": blob[1], "stored_position": position, "stored_message": wanted.message}
    connection.execute(_STORED, {"version_id": found.id, **told, **_form(wanted)})
    return _reread(connection, op, version), True


def _register(
    connection: Connection, op: OpRow, version: Subversions, blob: Blob | None, wanted: NewVersion, now: int
) -> VersionRow:
    sequence = _next_sequence(op_id=op.id).run(connection).scalar_one()
    number = _number(connection, op, version)
    position = journal.enter(connection, "version", now)
    ops.touch(connection, [op.id], position)
    digest, size = blob or (None, None)
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
        "size": size,
        "position": position,
        "stored_position": position if blob else None,
        "registered_at": now,
        "message": wanted.message,
        "note": version.creation_time,
        **_form(wanted),
    }
    connection.execute(_REGISTER, row)
    return _reread(connection, op, version)


_REGISTER = insert(Version)
_STORED = update(Version).where(Version.id == bindparam("version_id"))


@prepared
def _next_sequence(*, op_id: int) -> Executable:
    return update(Op).where(Op.id == op_id).values(last_sequence=Op.last_sequence + 1).returning(Op.last_sequence)


def has_blob(connection: Connection, digest: Digest) -> bool:
    """Whether a version has these bytes."""
    return bool(_of_blob(digest=digest).run(connection).scalar_one())


@prepared
def _of_blob(*, digest: str) -> Executable:
    return select(exists().where(Version.digest == digest))


def _form(wanted: NewVersion) -> dict[str, str | None]:
    """What the bytes are."""
    return {
        "format": wanted.format,
        "libraries": json.dumps(wanted.libraries, sort_keys=True) if wanted.libraries else None,
    }


def _reread(connection: Connection, op: OpRow, version: Subversions) -> VersionRow:
    row = lookup.by_subversions(View(connection), op.id, version)
    assert row is not None, "it was written in this transaction"  # noqa: S101
    return row


def _number(connection: Connection, op: OpRow, version: Subversions) -> Number:
    major, minor = version.major, version.minor
    known_major, highest_major = _majors(op_id=op.id, major=major).run(connection).one()
    known_minor, highest_minor = _minors(op_id=op.id, major=major, minor=minor).run(connection).one()
    highest_patch = _patches(op_id=op.id, major=major, minor=minor).run(connection).scalar()
    return numbering.number(
        op.name,
        Given(known=known_major, highest=highest_major),
        Given(known=known_minor, highest=highest_minor),
        Given(highest=highest_patch),
    )


# What numbers were given: for the same subversion, and at most. Each a step down an index.
@prepared
def _majors(*, op_id: int, major: str) -> Executable:
    known = select(Version.major_number).where(Version.op_id == op_id, Version.major == major).limit(1)
    highest = select(func.max(Version.major_number)).where(Version.op_id == op_id)
    return select(known.scalar_subquery(), highest.scalar_subquery())


@prepared
def _minors(*, op_id: int, major: str, minor: str) -> Executable:
    in_major = (Version.op_id == op_id, Version.major == major)
    known = select(Version.minor_number).where(*in_major, Version.minor == minor).limit(1)
    highest = select(func.max(Version.minor_number)).where(*in_major)
    return select(known.scalar_subquery(), highest.scalar_subquery())


@prepared
def _patches(*, op_id: int, major: str, minor: str) -> Executable:
    in_minor = (Version.op_id == op_id, Version.major == major, Version.minor == minor)
    return select(func.max(Version.patch_number)).where(*in_minor)


def set_labels(connection: Connection, row: VersionRow, labels: Mapping[str, str], *, created: bool, now: int) -> None:
    """Notes the labels on the version; a key that it has gets the new value.

    What is new on a version that was there before is an entry of its own.
    """
    if not labels:
        return
    known = {key: value for _, key, value in View(connection).execute(_labels(NOW, ids=[row.id]))}
    changed = {key: value for key, value in labels.items() if known.get(key) != value}
    if not changed:
        return
    position = journal.last(connection) if created else journal.enter(connection, "version", now)
    replaced = and_(Label.version_id == row.id, Label.key.in_(list(changed)), _IN_FORCE)
    connection.execute(update(Label).where(replaced).values(until=position))
    values = [
        {"version_id": row.id, "key": key, "position": position, "value": value} for key, value in changed.items()
    ]
    connection.execute(insert(Label), values)


def records(view: View, rows: Sequence[VersionRow]) -> list[VersionRecord]:
    """What is known of these versions, in their order."""
    labels: dict[int, dict[str, str]] = {}
    tags: dict[int, tuple[str, ...]] = {}
    for start in range(0, len(rows), BLOCK):  # a statement takes only so many parameters
        ids = [row.id for row in rows[start : start + BLOCK]]
        labels |= {
            id_: {key: value for _, key, value in group}
            for id_, group in groupby(view.execute(_labels(view.sight, ids=ids)), key=itemgetter(0))
        }
        tags |= {
            id_: tuple(name for _, name in group)
            for id_, group in groupby(view.execute(_tags(view.sight, ids=ids)), key=itemgetter(0))
        }
    return [
        VersionRecord(
            op=row.op,
            number=str(row.number),
            version=row.version,
            sequence=row.sequence,
            digest=row.digest,
            size=row.size,
            registered_at=journal.moment(row.registered_at),
            labels=labels.get(row.id, {}),
            tags=tags.get(row.id, ()),
            yanked=row.yanked,
            yank_reason=row.yank_reason,
            message=row.message,
            note=row.note,
            format=row.format,
            libraries=json.loads(row.libraries or "{}"),
            position=row.position,
        )
        for row in rows
    ]


@prepared
def _labels(sight: Sight, *, ids: Sequence[int]) -> Executable:
    noted = select(Label.version_id, Label.key, Label.value).where(Label.version_id.in_(ids), sight.in_force(Label))
    return noted.order_by(Label.version_id, Label.key)


@prepared
def _tags(sight: Sight, *, ids: Sequence[int]) -> Executable:
    tagged = select(Tag.version_id, Tag.name).where(Tag.version_id.in_(ids), sight.in_force(Tag))
    return tagged.order_by(Tag.version_id, Tag.name)


def newest(view: View, op_id: int, below: int | None, limit: int) -> list[VersionRow]:
    """All versions of the op, newest first, at most `limit` of those below a sequence."""
    return lookup.rows(view, op_id, lookup.older_than(below), limit=limit)
