"""What a reference picks (CONTRACT section 2), by indexed queries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version as PackagingVersion
from sqlalchemy import ColumnElement, exists, select, true

from opstore_daemon.metadata.tables import Op, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import PickedYanked
from opstore_daemon.protocol.references import DigestPrefix, Latest, Line, Range, Reference, Selector
from opstore_daemon.protocol.references import Tag as TagSelector
from opstore_daemon.protocol.versions import Number
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.store.view import View

BLOCK = 200  # rows read at a time


@dataclass(frozen=True, slots=True, eq=False)
class VersionRow:
    """A version as a view sees it. It equals itself only: a search tells many of them apart."""

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
    yank_reason: str | None

    @property
    def yanked(self) -> bool:
        """Whether it is: a yank has a reason."""
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
)


def rows(view: View, op_id: int, *conditions: ColumnElement[bool], limit: int | None = None) -> list[VersionRow]:
    """The versions of the op that meet the conditions, newest first."""
    wanted = select(*_COLUMNS, view.yank_reason()).join(Op, Op.id == Version.op_id)
    wanted = wanted.where(Version.op_id == op_id, view.known(Version), *conditions)
    return [_row(view, row) for row in view.execute(wanted.order_by(Version.sequence.desc()).limit(limit))]


def _row(view: View, row: Sequence[Any]) -> VersionRow:
    id_, own_op, op, sequence, *rest = row
    subversions, numbers, (digest, size, stored_position), rest = rest[:3], rest[3:6], rest[6:9], rest[9:]
    position, registered_at, message, stored_message, note, format_, libraries, yank_reason = rest
    stored = view.is_there(stored_position)
    return VersionRow(
        id=id_,
        op_id=own_op,
        op=op,
        sequence=sequence,
        version=".".join(subversions),
        number=Number(*numbers),
        digest=digest if stored else None,
        size=size if stored else None,
        position=position,
        registered_at=registered_at,
        message=stored_message if stored and stored_message is not None else message,
        note=note,
        format=format_ if stored else None,
        libraries=libraries if stored else None,
        yank_reason=yank_reason,
    )


def first(view: View, op_id: int, *conditions: ColumnElement[bool]) -> VersionRow | None:
    """The newest version of the op that meets the conditions, or None."""
    found = rows(view, op_id, *conditions, limit=1)
    return found[0] if found else None


def candidates(view: View, op_id: int, *conditions: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    """The conditions on what `latest` could pick among those: not yanked, and stored where any of them is."""
    return [*conditions, view.stored() if _any_stored(view, op_id, *conditions) else true(), ~view.yanked()]


def latest(view: View, op_id: int, *conditions: ColumnElement[bool]) -> VersionRow | None:
    """The latest version of the op (among those that meet the conditions), or None."""
    found = first(view, op_id, *conditions, view.stored(), ~view.yanked())
    if found is not None or _any_stored(view, op_id, *conditions):
        return found
    return first(view, op_id, *conditions, ~view.yanked())


def _any_stored(view: View, op_id: int, *conditions: ColumnElement[bool]) -> bool:
    among = exists().where(Version.op_id == op_id, view.known(Version), view.stored(), *conditions)
    return bool(view.execute(select(among)).scalar_one())


def newest(view: View, op_id: int) -> VersionRow | None:
    """The newest stored version, yanked or not; the newest registered one where none is stored."""
    return first(view, op_id, view.stored()) or first(view, op_id)


def by_subversions(view: View, op_id: int, version: Subversions) -> VersionRow | None:
    """That very version of the op, or None."""
    major, minor, patch = version.subversions
    return first(view, op_id, Version.major == major, Version.minor == minor, Version.patch == patch)


def of_id(view: View, version_id: int) -> VersionRow | None:
    """That very version, as it is by now."""
    op_id = view.execute(select(Version.op_id).where(Version.id == version_id)).scalar()
    return None if op_id is None else first(view, op_id, Version.id == version_id)


def pick(view: View, op_id: int, reference: Reference) -> VersionRow:
    """The version that the reference picks; raises VersionNotFound, TagNotFound or AmbiguousReference."""
    found = _find(view, op_id, reference)
    if found is None:
        raise errors.VersionNotFound(op=reference.op, selector=str(reference.selector))
    note(view, found)
    return found


def note(view: View, row: VersionRow) -> None:
    """Notes in the view that the version was picked, where it is yanked: the answer is to say so."""
    if row.yank_reason is not None:
        picked = PickedYanked(op=row.op, number=str(row.number), reason=row.yank_reason)
        if picked not in view.picked_yanked:
            view.picked_yanked.append(picked)


def _find(view: View, op_id: int, reference: Reference) -> VersionRow | None:
    match reference.selector:
        case Latest() | Line() as selector:
            return latest(view, op_id, *numbered(selector))
        case Range() as wanted:
            return _newest_in(view, op_id, wanted)
        case Number() as number:
            return first(view, op_id, *numbered(number))
        case DigestPrefix(digits):
            return first(view, op_id, view.stored(), _one_digest(view, op_id, reference, digits))
        case Subversions() as version:
            return by_subversions(view, op_id, version)
        case TagSelector(name):
            return _tagged(view, op_id, reference.op, name)


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


def _one_digest(view: View, op_id: int, reference: Reference, digits: str) -> ColumnElement[bool]:
    prefix = f"sha256:{digits}"
    begins = (Version.op_id == op_id, view.stored(), Version.digest >= prefix, Version.digest < prefix + "g")
    digests = view.execute(select(Version.digest).where(*begins).distinct().limit(5)).scalars().all()
    if len(digests) > 1:
        found = ", ".join(sorted(str(digest) for digest in digests))
        raise errors.AmbiguousReference(reference=str(reference), candidates=found)
    return Version.digest == (digests[0] if digests else prefix)


def _tagged(view: View, op_id: int, op: str, name: str) -> VersionRow | None:
    tagged = select(Tag.version_id).where(Tag.op_id == op_id, Tag.name == name, view.in_force(Tag))
    version_id = view.execute(tagged).scalar()
    if version_id is None:
        raise errors.TagNotFound(op=op, tag=name)
    found = first(view, op_id, Version.id == version_id)
    if found is not None and found.yanked:
        number = str(found.number)
        raise errors.TagYanked(op=op, tag=name, number=number)
    return found


def admits(wanted: Range, number: Number) -> bool:
    """Whether the specifier set admits the number."""
    return SpecifierSet(wanted.specifiers).contains(PackagingVersion(str(number)))


def _newest_in(view: View, op_id: int, wanted: Range) -> VersionRow | None:
    yanked = False
    for condition in (view.stored(), true()):
        for row in newest_first(view, op_id, condition):
            if admits(wanted, row.number):
                if not row.yanked:
                    return row
                yanked = True
        if yanked:  # where one is stored, those that are only registered do not count
            return None
    return None


def newest_first(view: View, op_id: int, *conditions: ColumnElement[bool]) -> Iterator[VersionRow]:
    """The versions that meet the conditions, newest first, read in blocks."""
    for block in blocks(view, op_id, *conditions):
        yield from block


def blocks(view: View, op_id: int, *conditions: ColumnElement[bool]) -> Iterator[list[VersionRow]]:
    """The same, a block at a time."""
    below: ColumnElement[bool] = true()
    while True:
        block = rows(view, op_id, *conditions, below, limit=BLOCK)
        if block:
            yield block
        if len(block) < BLOCK:
            return
        below = Version.sequence < block[-1].sequence
