"""Versions: register them, store their bytes, and return their records."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from msgspec import UNSET
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    and_,
    bindparam,
    case,
    insert,
    literal,
    literal_column,
    null,
    select,
    update,
)

from opstore_daemon.metadata import lookups
from opstore_daemon.metadata.statements import Statement, prepared
from opstore_daemon.metadata.tables import Journal, Label, Message, Op, Tag, Version, Yank
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import NewVersion, VersionRecord
from opstore_daemon.protocol.samples import Sample
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules import numbering
from opstore_daemon.rules.numbering import AssignedNumbers
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, removed, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import BLOCK, VersionRow
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import NOW, Snapshot, TimeFilter


class Blob(NamedTuple):
    """Stored bytes: their digest and size, and their sample if they came by an upload (protocol.samples)."""

    digest: Digest
    size: int
    sample: Sample | None = None


MAX_BLOBS = 10  # blobs of one sample in a response


class Added(NamedTuple):
    """A version; `created` if the version or its bytes are new, `fresh` if its row is, which then has no labels yet."""

    row: VersionRow
    created: bool
    fresh: bool = False


def add(
    connection: Connection,
    op: OpRow,
    version: Subversions,
    blob: Blob | None,
    request: NewVersion,
    stamp: Stamp,
) -> Added | None:
    """Register the op's version with these subversions, or store the bytes of one that is registered already.

    Returns None, and does nothing, if they are those of a removed version: a number never comes back. `request` has the
    message and what to record of the bytes. Raises VersionConflict if the version has other bytes: a
    stored version never changes. Raises BytesYanked for a new version with the bytes of a yanked one, unless the
    request is for `new` or, as by the chariots verbs, for a patch of declared subversions.
    """
    hashes = dict(zip(("major", "minor", "patch"), version.subversions, strict=True))
    digest = "" if blob is None else blob.digest
    known, removed_at, yanked, *assigned, newest_removed_at = (
        _assigned(op_id=op.id, digest=digest, **hashes).run(connection).one()
    )
    if removed_at is not None:
        return None
    if newest_removed_at is not None:
        yanked = _yanked(op_id=op.id, digest=digest).run(connection).scalar()
    if yanked is not None and not request.new and request.otherwise == "refuse":
        _refuse_yanked(connection, op, yanked, known)
    if known is None:
        return Added(_register(connection, op, version, _number(op, *assigned), blob, request, stamp), True, fresh=True)
    found = _row(connection, op, known)
    if blob is None or found.digest == blob.digest:
        return Added(found, created=False)
    if found.digest is not None:
        number, digest = str(found.number), found.digest
        raise errors.VersionConflict(op=op.name, version=number, subversions=str(version), digest=digest)
    position = journal.append(connection, "version", stamp, op.id)
    ops.touch(connection, [op.id], position)
    stored = {**blob._asdict(), "stored_position": position, "stored_message": request.message}
    _SET_BYTES.run(connection, {"version_id": found.id, **stored, **_of_bytes(request)})
    if request.message is not None:
        _end_message(version=found.id, at=position).run(connection)
    return Added(_row(connection, op, known), created=True)


def subversions_removed(connection: Connection, op: OpRow, version: Subversions) -> errors.SubversionsRemoved:
    """Return the error for subversions of a removed version."""
    found = removed.find(Snapshot(connection), op.name, op.id, version_rows.with_subversions(version))
    assert found is not None, "this transaction saw it"  # noqa: S101
    return errors.SubversionsRemoved(
        op=op.name, version=str(found.number), subversions=".".join(version.subversions), how=found.how
    )


def _refuse_yanked(connection: Connection, op: OpRow, yanked: int, known: int | None) -> None:
    """Raise BytesYanked, unless the declared version, with the id `known`, has these bytes itself."""
    row = _row(connection, op, yanked)
    if known is None or _row(connection, op, known).digest != row.digest:
        raise errors.BytesYanked(op=op.name, version=str(row.number), reason=row.yank_reason)


def _row(connection: Connection, op: OpRow, version_id: int) -> VersionRow:
    row = version_rows.first(Snapshot(connection), op.id, version_rows.with_id(version_id))
    assert row is not None, "this transaction saw it"  # noqa: S101
    return row


def _register(
    connection: Connection,
    op: OpRow,
    version: Subversions,
    number: VersionNumber,
    blob: Blob | None,
    request: NewVersion,
    stamp: Stamp,
) -> VersionRow:
    position = journal.append(connection, "version", stamp, op.id)
    sequence = _next_sequence(op_id=op.id, at=position).run(connection).scalar_one()
    digest, size, sample = blob or (None, None, None)
    of_bytes = _of_bytes(request)
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
        "registered_at": stamp.at,
        "message": request.message,
        "note": note,
        **of_bytes,
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
        registered_at=stamp.at,
        message=request.message,
        note=note,
        format=of_bytes["format"] if blob else None,
        libraries=of_bytes["libraries"] if blob else None,
        filename=of_bytes["filename"] if blob else None,
        executable=bool(of_bytes["executable"] and blob),
        yank_reason=None,
    )


_REGISTER = Statement(insert(Version).returning(Version.id))
_SET_BYTES = Statement(update(Version).where(Version.id == bindparam("version_id")))


@prepared
def _end_message(*, version: int, at: int) -> Executable:
    """End an edited message of the version: the message of the push that stores its bytes replaces it."""
    return update(Message).where(Message.version_id == version, Message.until.is_(None)).values(until=at)


@prepared
def _next_sequence(*, op_id: int, at: int) -> Executable:
    """Count the registration, and record its position as `ops.touch` does."""
    counted = update(Op).where(Op.id == op_id).values(last_sequence=Op.last_sequence + 1, changed=at)
    return counted.returning(Op.last_sequence)


def _number(op: OpRow, *assigned: int | None) -> VersionNumber:
    known_major, highest_major, known_minor, highest_minor, highest_patch = assigned
    return numbering.assign_number(
        op.name,
        AssignedNumbers(known=known_major, highest=highest_major),
        AssignedNumbers(known=known_minor, highest=highest_minor),
        AssignedNumbers(highest=highest_patch),
    )


_ZERO: ColumnElement[int] = literal_column("0")
_SUBVERSIONS = (Version.op_id, Version.major, Version.minor, Version.patch)
_NUMBERS = (Version.op_id, Version.major_number, Version.minor_number, Version.patch_number)
_BYTES = (Version.op_id, Version.digest, Version.sequence)


@prepared
def _assigned(*, op_id: int, digest: str, major: str, minor: str, patch: str) -> Executable:
    """Select the version's id and the position of its removal, and the newest version with the digest if it is yanked.

    Then the numbers of the version's major and minor subversions, and the highest number at each level, and last the
    position of the removal of the newest version with the digest: then an older one may be `_yanked`. Each is one
    lookup in an index.
    """
    given = (op_id, major, minor, patch)

    def lookup(length: int, *columns: Any) -> tuple[Any, Any]:
        """Return the lookup by the op and so many subversions, with these columns, and the condition that it hits."""
        keys = _SUBVERSIONS[:length]
        found = lookups.last(keys, given[:length]).add_columns(*keys, *columns).subquery()
        return found, and_(*(found.c[key.name] == value for key, value in zip(keys, given)))  # noqa: B905

    itself, is_itself = lookup(4, Version.id, Version.removed_position)
    of_major, is_major = lookup(2, Version.major_number)
    of_minor, is_minor = lookup(3, Version.minor_number)
    # + 0: in an index, SQLite compares a row with values that are no columns.
    known_major, known_minor = of_major.c.major_number + _ZERO, of_minor.c.minor_number + _ZERO
    columns = (Version.op_id, Version.digest, Version.id, Version.removed_position)
    of_bytes = lookups.last(_BYTES, (op_id, digest, lookups.ANY)).add_columns(*columns).subquery()
    has_bytes = and_(of_bytes.c.op_id == op_id, of_bytes.c.digest == digest)
    yanked = select(Yank.version_id).where(Yank.version_id == of_bytes.c.id, Yank.yanked, Yank.until.is_(None))
    # By numbers, which an index sorts: by subversions, SQLite would read all versions of the line.

    def highest(*line: Any) -> ScalarSelect[int | None]:
        column = _NUMBERS[len(line)]
        is_in_line = and_(*(each == value for each, value in zip(_NUMBERS, line)))  # noqa: B905
        found = lookups.last(_NUMBERS, (*line, lookups.ANY)).add_columns(case((is_in_line, column)))
        return found.correlate(of_major, of_minor).scalar_subquery()

    selected = select(
        itself.c.id,
        itself.c.removed_position,
        yanked.correlate(of_bytes).scalar_subquery(),
        of_major.c.major_number,
        highest(op_id),
        of_minor.c.minor_number,
        highest(op_id, known_major),
        highest(op_id, known_major, known_minor),
        of_bytes.c.removed_position,
    )
    found = select(literal(1)).subquery().outerjoin(itself, is_itself).outerjoin(of_major, is_major)
    return selected.select_from(found.outerjoin(of_minor, is_minor).outerjoin(of_bytes, has_bytes))


@prepared
def _yanked(*, op_id: int, digest: str) -> Executable:
    """Select the newest version with the digest that is not removed, if it is yanked."""
    with_bytes = select(Version.id).where(Version.op_id == op_id, Version.digest == digest, NOW.not_removed())
    newest = with_bytes.order_by(Version.sequence.desc()).limit(1).scalar_subquery()
    return select(Yank.version_id).where(Yank.version_id == newest, Yank.yanked, Yank.until.is_(None))


def blobs_of(connection: Connection, sample: Sample) -> list[Blob]:
    """Return up to MAX_BLOBS stored blobs with that sample, each of a version that is not removed."""
    return [Blob(*row) for row in _of_sample(sample=sample).run(connection)]


@prepared
def _of_sample(*, sample: str) -> Executable:
    blobs = select(Version.digest, Version.size).where(Version.sample == sample, NOW.not_removed())
    return blobs.distinct().limit(MAX_BLOBS)


def size_of_blob(connection: Connection, digest: Digest) -> int | None:
    """Return the size in bytes of a blob that a version has; None if no version has it, or only removed ones.

    The collector may be deleting a blob that only removed versions have.
    """
    size: int | None = _of_blob(digest=digest).run(connection).scalar()
    return size


@prepared
def _of_blob(*, digest: str) -> Executable:
    return select(Version.size).where(Version.digest == digest, NOW.not_removed()).limit(1)


def ever_had_blob(connection: Connection, digest: Digest) -> bool:
    """Return whether any version has a blob with that digest, removed or not."""
    return _ever_of_blob(digest=digest).run(connection).first() is not None


@prepared
def _ever_of_blob(*, digest: str) -> Executable:
    return select(Version.id).where(Version.digest == digest).limit(1)


def _of_bytes(request: NewVersion) -> dict[str, Any]:
    """Return the columns that describe the bytes."""
    return {
        "format": request.format,
        "libraries": json.dumps(request.libraries, sort_keys=True) if request.libraries else None,
        "filename": request.filename,
        "executable": 1 if request.executable else None,
    }


def records(snapshot: Snapshot, rows: Sequence[VersionRow]) -> list[VersionRecord]:
    """Return the records of these versions, in their order."""
    labels: dict[int, dict[str, str]] = {row.id: {} for row in rows}
    tags: dict[int, list[str]] = {row.id: [] for row in rows}
    messages = {row.id: row.message for row in rows}
    authors: dict[int, str | None] = {}
    for start in range(0, len(rows), BLOCK // 4):  # SQLite limits parameters, and each id is four
        ids = [row.id for row in rows[start : start + BLOCK // 4]]
        # A statement with a list of values is compiled at each run, so there is another one for a single version.
        query = (
            _annotations(snapshot.time_filter, True, ids=ids[0])
            if len(ids) == 1
            else _annotations(snapshot.time_filter, False, ids=ids)
        )
        for id_, name, value, author in snapshot.execute(query):
            if author is not None:
                authors[id_] = author
            elif name is None:
                messages[id_] = value or None
            elif value is None:
                tags[id_].append(name)
            else:
                labels[id_][name] = value
    return [record(row, labels[row.id], tags[row.id], messages[row.id], authors.get(row.id)) for row in rows]


def record(
    row: VersionRow, labels: Mapping[str, str], tags: Iterable[str], message: str | None, author: str | None
) -> VersionRecord:
    """Return the record of a version with these labels, tags, message and author."""
    return VersionRecord(
        op=row.op,
        version=str(row.number),
        subversions=row.version,
        sequence=row.sequence,
        digest=row.digest,
        size=row.size,
        filename=row.filename,
        executable=row.executable,
        registered_at=journal.to_datetime(row.registered_at),
        author=author,
        labels=dict(sorted(labels.items())),
        tags=tuple(sorted(set(tags))),
        yanked=row.yanked,
        yank_reason=row.yank_reason,
        message=message,
        note=row.note,
        format=row.format,
        libraries=json.loads(row.libraries or "{}"),
        position=row.position,
        damaged=row.damage or UNSET,
    )


@prepared
def _annotations(time_filter: TimeFilter, one: bool, *, ids: int | Sequence[int]) -> Executable:
    """Select labels, tags, edited messages and authors of these versions, or (`one`) of one version.

    A tag has no value, a message no name, and an author neither.
    """

    def is_one_of(column: ColumnElement[Any]) -> ColumnElement[bool]:
        return column == ids if one else column.in_(cast(Sequence[int], ids))

    def conditions(table: type[Label | Tag | Message]) -> ColumnElement[bool]:
        return and_(is_one_of(table.version_id), time_filter.in_force(table))

    labels = select(Label.version_id, Label.key, Label.value, null()).where(conditions(Label))
    tags = select(Tag.version_id, Tag.name, null(), null()).where(conditions(Tag))
    messages = select(Message.version_id, null(), Message.text, null()).where(conditions(Message))
    entry = case((time_filter.stored(), Version.stored_position), else_=Version.position)
    authors = select(Version.id, null(), null(), Journal.author).join(Journal, Journal.position == entry)
    return labels.union_all(tags, messages, authors.where(is_one_of(Version.id), Journal.author.is_not(None)))
