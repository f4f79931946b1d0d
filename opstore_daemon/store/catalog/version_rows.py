"""What a reference picks (CONTRACT section 2), by indexed queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, bindparam, exists, or_, select, tuple_

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Op, Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import PickedYanked
from opstore_daemon.protocol.references import DigestPrefix, Latest, Line, Range, Reference, Selector
from opstore_daemon.protocol.references import Tag as TagSelector
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules import ranges
from opstore_daemon.store.snapshot import Sight, View

FIRST_BLOCK = 10  # rows read at first: most often the answer is among them
BLOCK = 200  # rows read at a time then


@dataclass(frozen=True, slots=True, eq=False)
class VersionRow:
    """A version as a view sees it. It equals itself only: a search tells many of them apart."""

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


@dataclass(frozen=True, slots=True)
class Where:
    """Conditions on versions, and the values of their parameters. Statements are kept by the conditions' identity."""

    conditions: tuple[ColumnElement[bool], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __and__(self, other: "Where") -> "Where":
        return Where(self.conditions + other.conditions, {**self.values, **other.values})


ALL = Where()


def rows(view: View, op_id: int, where: Where = ALL, limit: int | None = None) -> list[VersionRow]:
    """The versions of the op that meet the conditions, newest first."""
    values = where.values if limit is None else {**where.values, "limit": limit}
    query = _rows(view.sight, where.conditions, op_id=op_id, **values)
    return [_row(view, row) for row in view.execute(query)]


@prepared
def _rows(
    sight: Sight, conditions: tuple[ColumnElement[bool], ...], *, op_id: int, limit: int | None = None, **_: object
) -> Executable:
    wanted = select(*_COLUMNS, sight.yank_reason()).join(Op, Op.id == Version.op_id)
    wanted = wanted.where(Version.op_id == op_id, sight.known_versions(op_id), *conditions)
    return wanted.order_by(Version.sequence.desc()).limit(limit)


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
        number=VersionNumber(*numbers),
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
_OF_ID = Version.id == bindparam("version_id")
_OLDER = Version.sequence < bindparam("sequence")
_DIGEST = Version.digest == bindparam("digest")
_NUMBER = tuple_(Version.major_number, Version.minor_number, Version.patch_number)
_OF_NUMBERS = _NUMBER.in_(bindparam("numbers"))
_LOW, _HIGH = ("low_major", "low_minor", "low_patch"), ("high_major", "high_minor", "high_patch")
# Plus nothing, so that no index on numbers serves it: SQLite would put all of them in order before it picks the newest.
_BARE_NUMBER = tuple_(Version.major_number + 0, Version.minor_number, Version.patch_number)
_BETWEEN = (_BARE_NUMBER.between(tuple_(*map(bindparam, _LOW)), tuple_(*map(bindparam, _HIGH))),)


def numbered(numbers: Sequence[int]) -> Where:
    """The versions whose number begins so."""
    return Where(_NUMBERS[: len(numbers)], dict(zip(("major_number", "minor_number", "patch_number"), numbers)))  # noqa: B905


def of_numbers(numbers: Sequence[Sequence[int]]) -> Where:
    """The versions of these whole numbers."""
    return Where((_OF_NUMBERS,), {"numbers": [tuple(number) for number in numbers]})


def either(version: VersionRow, where: Where) -> Where:
    """That version, and those that meet the conditions."""
    return Where((_itself_or(where.conditions),), {**where.values, "itself": version.id})


@lru_cache
def _itself_or(conditions: tuple[ColumnElement[bool], ...]) -> ColumnElement[bool]:
    return or_(Version.id == bindparam("itself"), and_(*conditions))


def of_subversions(version: Subversions) -> Where:
    """That very version."""
    return Where(_SUBVERSIONS, dict(zip(("major", "minor", "patch"), version.subversions, strict=True)))


def of_id(version_id: int) -> Where:
    """That very version."""
    return Where((_OF_ID,), {"version_id": version_id})


def older_than(sequence: int | None) -> Where:
    """The versions before that sequence; None: all."""
    return ALL if sequence is None else Where((_OLDER,), {"sequence": sequence})


def first(view: View, op_id: int, where: Where = ALL) -> VersionRow | None:
    """The newest version of the op that meets the conditions, or None."""
    found = rows(view, op_id, where, limit=1)
    return found[0] if found else None


def stored(view: View) -> Where:
    """The versions whose bytes are there."""
    return Where((view.sight.stored(),))


def not_yanked(view: View) -> Where:
    """The versions that are not yanked."""
    return Where((view.sight.not_yanked(),))


def candidates(view: View, op_id: int, where: Where = ALL) -> Where:
    """The conditions on what `latest` could pick among those: not yanked, and stored where any of them is."""
    among = where & not_yanked(view)
    return among & stored(view) if _any_stored(view, op_id, where) else among


def latest(view: View, op_id: int, where: Where = ALL) -> VersionRow | None:
    """The latest version of the op (among those that meet the conditions), or None."""
    among = where & not_yanked(view)
    found = first(view, op_id, among & stored(view))
    return found if found is not None or _any_stored(view, op_id, where) else first(view, op_id, among)


def _any_stored(view: View, op_id: int, where: Where) -> bool:
    query = _exists(view.sight, (where & stored(view)).conditions, op_id=op_id, **where.values)
    return bool(view.execute(query).scalar_one())


@prepared
def _exists(sight: Sight, conditions: tuple[ColumnElement[bool], ...], *, op_id: int, **_: object) -> Executable:
    return select(exists().where(Version.op_id == op_id, sight.known_versions(op_id), *conditions))


def newest(view: View, op_id: int) -> VersionRow | None:
    """The newest stored version, yanked or not; the newest registered one where none is stored."""
    return first(view, op_id, stored(view)) or first(view, op_id)


def by_subversions(view: View, op_id: int, version: Subversions) -> VersionRow | None:
    """That very version of the op, or None."""
    return first(view, op_id, of_subversions(version))


def by_id(view: View, version_id: int) -> VersionRow | None:
    """That very version, as it is by now."""
    op_id = view.execute(_op_of(version_id=version_id)).scalar()
    return None if op_id is None else first(view, op_id, of_id(version_id))


@prepared
def _op_of(*, version_id: int) -> Executable:
    return select(Version.op_id).where(Version.id == version_id)


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
        picked = PickedYanked(op=row.op, version=str(row.number), reason=row.yank_reason)
        if picked not in view.picked_yanked:
            view.picked_yanked.append(picked)


def _find(view: View, op_id: int, reference: Reference) -> VersionRow | None:
    match reference.selector:
        case Latest() | Line() as selector:
            return latest(view, op_id, in_line(selector))
        case Range() as wanted:
            return _newest_in(view, op_id, wanted)
        case VersionNumber() as number:
            return first(view, op_id, numbered(number))
        case DigestPrefix(digits):
            digest = _one_digest(view, op_id, reference, digits)
            return first(view, op_id, stored(view) & Where((_DIGEST,), {"digest": digest}))
        case Subversions() as version:
            return by_subversions(view, op_id, version)
        case TagSelector(name):
            return _tagged(view, op_id, reference.op, name)


def in_line(selector: Selector) -> Where:
    """The versions of a line; all of them for other selectors."""
    match selector:
        case Line(major, None):
            return numbered((major,))
        case Line(major, int(minor)):
            return numbered((major, minor))
        case _:
            return ALL


def in_bounds(selector: Selector) -> Where:
    """The versions that a range could admit; all of them for other selectors."""
    if not isinstance(selector, Range):
        return ALL
    lowest, highest = ranges.bounds(selector.specifiers)
    return Where(_BETWEEN, dict(zip((*_LOW, *_HIGH), (*lowest, *highest), strict=True)))


def admitted(selector: Selector, row: VersionRow) -> bool:
    """Whether a range admits the version; other selectors do."""
    return not isinstance(selector, Range) or ranges.admits(selector.specifiers, row.number)


def _one_digest(view: View, op_id: int, reference: Reference, digits: str) -> str:
    prefix = f"sha256:{digits}"
    query = _digests(view.sight, op_id=op_id, low=prefix, high=f"{prefix}g")
    digests = view.execute(query).scalars().all()
    if len(digests) > 1:
        found = ", ".join(sorted(str(digest) for digest in digests))
        raise errors.AmbiguousReference(reference=str(reference), candidates=found)
    return digests[0] if digests else prefix


@prepared
def _digests(sight: Sight, *, op_id: int, low: str, high: str) -> Executable:
    begins = (Version.op_id == op_id, sight.stored(), Version.digest >= low, Version.digest < high)
    return select(Version.digest).where(*begins).distinct().limit(5)


def _tagged(view: View, op_id: int, op: str, name: str) -> VersionRow | None:
    version_id = view.execute(_tag(view.sight, op_id=op_id, name=name)).scalar()
    if version_id is None:
        raise errors.TagNotFound(op=op, tag=name)
    found = first(view, op_id, of_id(version_id))
    if found is not None and found.yanked:
        raise errors.TagYanked(op=op, tag=name, version=str(found.number), reason=found.yank_reason)
    return found


@prepared
def _tag(sight: Sight, *, op_id: int, name: str) -> Executable:
    return select(Tag.version_id).where(Tag.op_id == op_id, Tag.name == name, sight.in_force(Tag))


def _newest_in(view: View, op_id: int, wanted: Range) -> VersionRow | None:
    yanked = False
    for among in (stored(view), ALL):
        for row in newest_first(view, op_id, among & in_bounds(wanted)):
            if admitted(wanted, row):
                if not row.yanked:
                    return row
                yanked = True
        if yanked:  # where one is stored, those that are only registered do not count
            return None
    return None


def newest_first(view: View, op_id: int, where: Where) -> Iterator[VersionRow]:
    """The versions that meet the conditions, newest first, read in blocks."""
    for block in blocks(view, op_id, where):
        yield from block


def blocks(view: View, op_id: int, where: Where) -> Iterator[list[VersionRow]]:
    """The same, a block at a time."""
    older, size = where, FIRST_BLOCK
    while True:
        block = rows(view, op_id, older, limit=size)
        if block:
            yield block
        if len(block) < size:
            return
        older, size = where & older_than(block[-1].sequence), BLOCK
