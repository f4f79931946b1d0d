"""What a reference picks (CONTRACT section 2), by indexed queries."""

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version as PackagingVersion
from sqlalchemy import ColumnElement, Connection, Select, exists, select, true

from opstore_daemon.metadata.tables import Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.references import DigestPrefix, Latest, Line, Range, Reference, Selector, Tag
from opstore_daemon.protocol.versions import Number
from opstore_daemon.protocol.versions import Version as Subversions

BLOCK = 200  # rows read at a time


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version as the database has it."""

    id: int
    op_id: int
    op: str
    sequence: int
    version: str
    number: Number
    digest: Digest | None
    size: int | None
    position: int
    registered_at: int
    message: str | None
    note: str | None
    format: str | None
    libraries: str | None


def query() -> Select[Version, str]:
    """All versions with their op's name."""
    return select(Version, Op.name).join(Op, Op.id == Version.op_id)


def rows(connection: Connection, wanted: Select[Version, str]) -> list[VersionRow]:
    """The rows of a `query()`."""
    return [
        VersionRow(
            row.id,
            row.op_id,
            row.name,
            row.sequence,
            f"{row.major}.{row.minor}.{row.patch}",
            Number(row.major_number, row.minor_number, row.patch_number),
            None if row.digest is None else Digest(row.digest),
            row.size,
            row.position,
            row.registered_at,
            row.message,
            row.note,
            row.format,
            row.libraries,
        )
        for row in connection.execute(wanted)
    ]


def first(connection: Connection, *conditions: ColumnElement[bool]) -> VersionRow | None:
    """The newest version that meets the conditions, or None."""
    found = rows(connection, query().where(*conditions).order_by(Version.sequence.desc()).limit(1))
    return found[0] if found else None


def preferred(connection: Connection, op_id: int, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """What `latest` can pick among those: the stored versions if there is one, else the registered ones."""
    stored = Version.digest.is_not(None)
    found = connection.execute(select(exists().where(Version.op_id == op_id, stored, *conditions))).scalar_one()
    return stored if found else true()


def latest(connection: Connection, op_id: int, *conditions: ColumnElement[bool]) -> VersionRow | None:
    """The latest version of the op (among those that meet the conditions), or None."""
    among = (Version.op_id == op_id, *conditions)
    return first(connection, *among, Version.digest.is_not(None)) or first(connection, *among)


def by_subversions(connection: Connection, op_id: int, version: Subversions) -> VersionRow | None:
    """That very version of the op, or None."""
    return first(
        connection,
        Version.op_id == op_id,
        Version.major == version.major,
        Version.minor == version.minor,
        Version.patch == version.patch,
    )


def pick(connection: Connection, op_id: int, reference: Reference) -> VersionRow:
    """The version that the reference picks; raises VersionNotFound, TagNotFound or AmbiguousReference."""
    found = _find(connection, op_id, reference)
    if found is None:
        raise errors.VersionNotFound(op=reference.op, selector=str(reference.selector))
    return found


def _find(connection: Connection, op_id: int, reference: Reference) -> VersionRow | None:
    match reference.selector:
        case Range() as wanted:
            return _newest_in(connection, op_id, wanted)
        case DigestPrefix(digits):
            condition = _one_digest(connection, op_id, reference, digits)
            return first(connection, Version.op_id == op_id, condition)
        case Subversions() as version:
            return by_subversions(connection, op_id, version)
        case Tag(name):
            raise errors.TagNotFound(op=reference.op, tag=name)
        case Number() | Line() | Latest() as selector:
            return latest(connection, op_id, *numbered(selector))


def numbered(selector: Selector) -> list[ColumnElement[bool]]:
    """The conditions on the numbers that a number or a line makes; none for others."""
    match selector:
        case Number(major, minor, patch):
            columns = ((Version.major_number, major), (Version.minor_number, minor), (Version.patch_number, patch))
            return [column == number for column, number in columns]
        case Line(major, None):
            return [Version.major_number == major]
        case Line(major, minor):
            return [Version.major_number == major, Version.minor_number == minor]
        case _:
            return []


def _one_digest(connection: Connection, op_id: int, reference: Reference, digits: str) -> ColumnElement[bool]:
    prefix = f"sha256:{digits}"
    begins = (Version.op_id == op_id, Version.digest >= prefix, Version.digest < prefix + "g")
    digests = connection.execute(select(Version.digest).where(*begins).distinct().limit(5)).scalars().all()
    if len(digests) > 1:
        candidates = ", ".join(sorted(str(digest) for digest in digests))
        raise errors.AmbiguousReference(reference=str(reference), candidates=candidates)
    return Version.digest == (digests[0] if digests else prefix)


def admits(wanted: Range, number: Number) -> bool:
    """Whether the specifier set admits the number."""
    return SpecifierSet(wanted.specifiers).contains(PackagingVersion(str(number)))


def _newest_in(connection: Connection, op_id: int, wanted: Range) -> VersionRow | None:
    stored = Version.digest.is_not(None)
    for condition in (stored, true()):
        for row in newest_first(connection, Version.op_id == op_id, condition):
            if admits(wanted, row.number):
                return row
    return None


def newest_first(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[VersionRow]:
    """The versions that meet the conditions, newest first, read in blocks."""
    for block in blocks(connection, *conditions):
        yield from block


def blocks(connection: Connection, *conditions: ColumnElement[bool]) -> Iterator[list[VersionRow]]:
    """The same, a block at a time."""
    below: ColumnElement[bool] = true()
    while True:
        wanted = query().where(*conditions, below).order_by(Version.sequence.desc()).limit(BLOCK)
        block = rows(connection, wanted)
        if block:
            yield block
        if len(block) < BLOCK:
            return
        below = Version.sequence < block[-1].sequence
