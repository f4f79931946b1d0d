"""The check of the journal: its positions, and the rows that entries recorded."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, and_, func, or_, select

from opstore_daemon.metadata.statements import prepared
from opstore_daemon.metadata.tables import Counter, Journal, Link, Op, Tag, Version, aliased
from opstore_daemon.protocol.records.fsck import FindingKind
from opstore_daemon.store import journal
from opstore_daemon.store.maintenance.pages import Page, Steps

ENTRIES = 5000  # positions that one page looks at

_RELINK = "record it again: opstore link UP@VERSION DOWN@VERSION"


def check_journal(page: Page, begin: str) -> Steps:
    """Look for positions that are missing, and for rows of entries that contradict the versions that they name."""
    first = int(begin or "1")
    end = first + ENTRIES
    yield
    with page.database.read() as connection:
        last = journal.last(connection)
        for found in _positions(connection, first, min(end, last + 1)):
            page.add(*found, page.database.advice)
        if end > last:
            _check_counter(page, connection, last)
            for position in connection.execute(_beyond(last)).scalars():
                page.add(
                    "journal", f"position {position}", f"the journal's last position is {last}", page.database.advice
                )
        for query, kind, observed, advice in _CONTRADICTIONS:
            for position, name in query(first=first, end=end).run(connection).all():
                page.add(kind, f"position {position}, {name}", observed, advice)
    return str(end) if end <= last else None


def _check_counter(page: Page, connection: Connection, last: int) -> None:
    """Compare the time in the counter, from which the next entry's follows, with that of the last entry."""
    at = connection.execute(select(Journal.at).where(Journal.position == last)).scalar()
    counted = connection.execute(select(Counter.at)).scalar_one()
    if at is not None and counted != at:
        observed = f"the counter of the journal has the time {_shown(counted)}, and the entry {_shown(at)}"
        page.add("journal", f"position {last}", observed, page.database.advice)


def _shown(at: int) -> str:
    try:
        return journal.to_datetime(at).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{at} microseconds"


def _positions(connection: Connection, first: int, end: int) -> Iterator[tuple[FindingKind, str, str]]:
    count = _count(first=first, end=end).run(connection).scalar_one()
    if count == end - first:
        return
    there = set(_there(first=first, end=end).run(connection).scalars())
    for low, high in gaps(there, first, end):
        yield "journal", f"position {low}" if low == high else f"positions {low} to {high}", "the journal lacks it"


def gaps(there: set[int], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each gap between `first` and before `end`."""
    low = None
    for number in range(first, end + 1):
        if number < end and number not in there:
            low = number if low is None else low
        elif low is not None:
            yield low, number - 1
            low = None


def _beyond(last: int) -> Executable:
    return select(Journal.position).where(Journal.position > last).order_by(Journal.position).limit(100)


@prepared
def _count(*, first: int, end: int) -> Executable:
    return select(func.count()).select_from(Journal).where(Journal.position >= first, Journal.position < end)


@prepared
def _there(*, first: int, end: int) -> Executable:
    return select(Journal.position).where(Journal.position >= first, Journal.position < end)


def _between(table: Any, first: Any, end: Any) -> Any:
    return and_(table.position >= first, table.position < end)


@prepared
def _links_of_other_ops(*, first: int, end: int) -> Executable:
    """Select links whose versions are not those of their ops, or whose numbers are not those of the upstream one."""
    upstream, downstream = aliased(Version), aliased(Version)
    found = select(Link.position, Op.name).join(Op, Op.id == Link.upstream_id)
    found = found.join(upstream, upstream.id == Link.upstream_version_id)
    found = found.outerjoin(downstream, downstream.id == Link.downstream_version_id)
    wrong = or_(
        upstream.op_id != Link.upstream_id,
        upstream.major_number != Link.upstream_major,
        upstream.minor_number != Link.upstream_minor,
        downstream.op_id != Link.downstream_id,
    )
    return found.where(_between(Link, first, end), wrong)


@prepared
def _links_of_removed(*, first: int, end: int) -> Executable:
    found = select(Link.position, Op.name).join(Op, Op.id == Link.upstream_id)
    ends = or_(Version.id == Link.upstream_version_id, Version.id == Link.downstream_version_id)
    removed = select(Version.id).where(ends, Version.removed_position.is_not(None)).correlate(Link).exists()
    return found.where(_between(Link, first, end), Link.until.is_(None), Link.state == "valid", removed)


@prepared
def _tags_of_other_ops(*, first: int, end: int) -> Executable:
    found = select(Tag.position, Tag.name).join(Version, Version.id == Tag.version_id)
    return found.where(_between(Tag, first, end), Version.op_id != Tag.op_id)


@prepared
def _tags_of_removed(*, first: int, end: int) -> Executable:
    found = select(Tag.position, Tag.name).join(Version, Version.id == Tag.version_id)
    return found.where(_between(Tag, first, end), Tag.until.is_(None), Version.removed_position.is_not(None))


_CONTRADICTIONS: Sequence[tuple[Any, FindingKind, str, str]] = (
    (
        _links_of_other_ops,
        "row",
        "a link names a version of another op, or other numbers than its version has",
        _RELINK,
    ),
    (
        _links_of_removed,
        "row",
        "a link of a removed version is still in force",
        "opstore unlink UP@VERSION DOWN@VERSION",
    ),
    (_tags_of_other_ops, "row", "a tag names a version of another op", "move it again: opstore tag NAME@VERSION TAG"),
    (_tags_of_removed, "row", "a tag names a removed version", "move it: opstore tag NAME@VERSION TAG"),
)
