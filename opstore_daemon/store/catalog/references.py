"""Find the version that a reference selects."""

from sqlalchemy import Executable, bindparam, select, tuple_

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Tag, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import PickedYanked
from opstore_daemon.protocol.references import (
    AnyVersion,
    DigestPrefix,
    Latest,
    Line,
    Range,
    Reference,
    Selector,
    TagName,
)
from opstore_daemon.protocol.references import Tag as TagSelector
from opstore_daemon.protocol.versions import Version as Subversions
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules import ranges
from opstore_daemon.rules.budget import ROW_STEPS, LimitReached
from opstore_daemon.store.catalog import ops, removed
from opstore_daemon.store.catalog.suggestions import names_like
from opstore_daemon.store.catalog.version_rows import (
    ALL,
    VersionRow,
    Where,
    by_subversions,
    first,
    latest,
    newest_first,
    stored,
    with_digest,
    with_id,
    with_number_prefix,
)
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

_LOW, _HIGH = ("low_major", "low_minor", "low_patch"), ("high_major", "high_minor", "high_patch")
# Adding 0 disables the index on numbers, with which SQLite would sort all versions before it picks the newest.
_BARE_NUMBER = tuple_(Version.major_number + 0, Version.minor_number, Version.patch_number)
_BETWEEN = (_BARE_NUMBER.between(tuple_(*map(bindparam, _LOW)), tuple_(*map(bindparam, _HIGH))),)


def find_version(snapshot: Snapshot, reference: Reference) -> VersionRow:
    """Return the version that the reference selects; raise OpNotFound, or what `resolve_reference` raises."""
    return resolve_reference(snapshot, ops.get(snapshot, reference.op).id, reference)


def find_id(snapshot: Snapshot, reference: Reference) -> int:
    """Return the id of the version that the reference selects, also of a removed one that it names exactly.

    Raises what `find_version` raises.
    """
    try:
        return find_version(snapshot, reference).id
    except (errors.VersionRemoved, errors.OpNotFound):
        op_id = ops.find_any(snapshot, reference.op)
        found = None if op_id is None else removed.find_selected(snapshot, reference.op, op_id, reference.selector)
        if found is None:
            raise
        return found.id


def resolve_reference(snapshot: Snapshot, op_id: int, reference: Reference) -> VersionRow:
    """Return the version of the op that the reference selects (docs/references.md).

    Raises VersionNotFound, VersionRemoved, TagNotFound, TagYanked, AmbiguousReference or TooMuchWork.
    """
    try:
        found = _find(snapshot, op_id, reference)
    except LimitReached as limit:
        raise errors.TooMuchWork(question=f"to find {reference}", limit=str(limit)) from None
    if found is None:
        if isinstance(reference.selector, Latest):
            raise no_latest(snapshot, op_id, reference.op)
        _check_removed(snapshot, op_id, reference)
        raise errors.VersionNotFound(op=reference.op, selector=str(reference.selector))
    record_yanked(snapshot, found)
    return found


def no_latest(snapshot: Snapshot, op_id: int, op: str) -> errors.VersionNotFound:
    """Return the error for an op that has no latest version: it has none, or all are yanked or removed."""
    all_yanked = first(snapshot, op_id) is not None
    all_removed = not all_yanked and removed.find(snapshot, OpName(op), op_id, ALL) is not None
    return errors.VersionNotFound.without_latest(op, all_yanked=all_yanked, all_removed=all_removed)


def _check_removed(snapshot: Snapshot, op_id: int, reference: Reference) -> None:
    """Raise VersionRemoved if the reference names a removed version exactly."""
    found = removed.find_selected(snapshot, reference.op, op_id, reference.selector)
    if found is not None:
        raise found.error()


def record_yanked(snapshot: Snapshot, row: VersionRow) -> None:
    """Record in the snapshot that a yanked version was selected, so that the response warns about it."""
    if row.yank_reason is not None:
        picked = PickedYanked(op=row.op, version=str(row.number), reason=row.yank_reason)
        if picked not in snapshot.picked_yanked:
            snapshot.picked_yanked.append(picked)


def _find(snapshot: Snapshot, op_id: int, reference: Reference) -> VersionRow | None:
    match reference.selector:
        case Latest() | Line() as selector:
            return latest(snapshot, op_id, in_line(selector))
        case Range() as selector:
            return _newest_in_range(snapshot, op_id, selector)
        case VersionNumber() as number:
            return first(snapshot, op_id, with_number_prefix(number))
        case DigestPrefix(digits):
            return _with_digest(snapshot, op_id, reference, digits)
        case Subversions() as version:
            return by_subversions(snapshot, op_id, version)
        case AnyVersion():
            rule = "any is for the downstream op of a link, and selects no version"
            raise errors.InvalidReference(reference=str(reference), rule=rule)
        case TagSelector(name):
            return _find_tagged(snapshot, op_id, reference, name)


def in_line(selector: Selector) -> Where:
    """Select the versions of a line; all versions for other selectors."""
    match selector:
        case Line(major, None):
            return with_number_prefix((major,))
        case Line(major, int(minor)):
            return with_number_prefix((major, minor))
        case _:
            return ALL


def in_bounds(selector: Selector) -> Where:
    """Select the versions that a range could admit; all versions for other selectors."""
    if not isinstance(selector, Range):
        return ALL
    lowest, highest = ranges.bounds(selector.specifiers)
    return Where(_BETWEEN, dict(zip((*_LOW, *_HIGH), (*lowest, *highest), strict=True)))


def admits(selector: Selector, row: VersionRow) -> bool:
    """Return whether a range admits the version; True for other selectors."""
    return not isinstance(selector, Range) or ranges.admits(selector.specifiers, row.number)


def _with_digest(snapshot: Snapshot, op_id: int, reference: Reference, digits: str) -> VersionRow | None:
    prefix = f"sha256:{digits}"
    query = _digests(snapshot.time_filter, op_id=op_id, low=prefix, high=f"{prefix}g")
    digests = snapshot.execute(query).scalars().all()
    if len(digests) > 1:
        found = ", ".join(sorted(str(digest) for digest in digests))
        raise errors.AmbiguousReference(reference=str(reference), candidates=found)
    return first(snapshot, op_id, stored(snapshot) & with_digest(digests[0])) if digests else None


@prepared
def _digests(time_filter: TimeFilter, *, op_id: int, low: str, high: str) -> Executable:
    begins = (Version.op_id == op_id, time_filter.stored(), Version.digest >= low, Version.digest < high)
    return select(Version.digest).where(*begins, time_filter.not_removed()).distinct().limit(5)


def _find_tagged(snapshot: Snapshot, op_id: int, reference: Reference, name: TagName) -> VersionRow | None:
    version_id = snapshot.execute(_tag(snapshot.time_filter, op_id=op_id, name=name)).scalar()
    if version_id is None:
        digits = name.digits()
        found = None if digits is None else _with_digest(snapshot, op_id, reference, digits)
        if found is None:
            _check_removed(snapshot, op_id, reference)
            raise errors.TagNotFound(op=reference.op, tag=name).with_suggestions(
                [f"{reference.op}@{each}" for each in _similar(snapshot, op_id, name)]
            )
        return found
    found = first(snapshot, op_id, with_id(version_id))
    if found is not None and found.yanked:
        raise errors.TagYanked(op=reference.op, tag=name, version=str(found.number), reason=found.yank_reason)
    return found


def _similar(snapshot: Snapshot, op_id: int, name: TagName) -> list[str]:
    """Return the selectors that may have been meant: the number in `v1.2.3`, if there is such a version, or tags."""
    selector = name.without_v()
    if isinstance(selector, VersionNumber) and first(snapshot, op_id, with_number_prefix(selector)) is not None:
        return [str(selector)]
    if isinstance(selector, Line) and latest(snapshot, op_id, in_line(selector)) is not None:
        return [str(selector)]
    return names_like(snapshot, Tag.name, name, Tag.op_id == op_id, snapshot.time_filter.in_force(Tag))


@prepared
def _tag(time_filter: TimeFilter, *, op_id: int, name: str) -> Executable:
    return select(Tag.version_id).where(Tag.op_id == op_id, Tag.name == name, time_filter.in_force(Tag))


def _newest_in_range(snapshot: Snapshot, op_id: int, range_: Range) -> VersionRow | None:
    seen_yanked = False
    for among in (stored(snapshot), ALL):
        for row in newest_first(snapshot, op_id, among & in_bounds(range_)):
            snapshot.range_budget.spend(ROW_STEPS)
            if admits(range_, row):
                if not row.yanked:
                    return row
                seen_yanked = True
        if seen_yanked:  # a stored version is admitted, so versions that are only registered do not count
            return None
    return None
