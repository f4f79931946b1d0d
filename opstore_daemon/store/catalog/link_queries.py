"""Queries for the links that decide a verdict. Indexes serve them, so their cost does not grow with all links."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    and_,
    func,
    select,
    text,
    union_all,
)

from opstore_daemon.metadata.json_rows import json_rows, number_at
from opstore_daemon.metadata.lookups import ONE, is_among, is_selected
from opstore_daemon.metadata.statements import Query, prepared
from opstore_daemon.metadata.tables import Link, Version, aliased
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import Line, LinkInForce, line
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

_DOWN = aliased(Version)


def effective(time_filter: TimeFilter) -> ColumnElement[bool]:
    """Return the condition for links that are in force and not revoked."""
    return and_(time_filter.in_force(Link), Link.state != "revoked")


def any_in_force(snapshot: Snapshot, upstream: OpRow, downstream: OpRow) -> bool:
    """Return whether any link between the two ops is in force, valid or invalid."""
    return snapshot.execute(_any_in_force(snapshot.time_filter, up=upstream.id, down=downstream.id)).first() is not None


@prepared
def _any_in_force(time_filter: TimeFilter, *, up: int, down: int) -> Executable:
    return select(Link.position).where(_between(up, down), effective(time_filter)).limit(1)


def of_edge(snapshot: Snapshot, upstream: OpRow, downstream: OpRow) -> list[LinkInForce]:
    """Return the newest valid link between the two ops, and of those for any version of the downstream op a valid one.

    If none of those is valid, an invalid one.
    """
    return _in_force(snapshot, _of_edge(snapshot.time_filter, up=upstream.id, down=downstream.id))


@prepared
def _of_edge(time_filter: TimeFilter, *, up: int, down: int) -> Executable:
    for_op = select(Link.position).where(_between(up, down), target_id == text("0"), effective(time_filter)).limit(ONE)
    return union_all(_at(_newest_valid(time_filter, up, down)), _at(for_op.where(Link.state == "valid")), _at(for_op))


def any_valid_of(snapshot: Snapshot, upstream_versions: Sequence[VersionRow], downstream: OpRow) -> bool:
    """Return whether any of these upstream versions has a valid link to the downstream op or to a version of it."""
    ids = [row.id for row in upstream_versions]
    return snapshot.execute(_any_valid_of(snapshot.time_filter, ids=ids, down=downstream.id)).first() is not None


@prepared
def _any_valid_of(time_filter: TimeFilter, *, ids: Sequence[int], down: int) -> Executable:
    # No condition on the upstream op: with one, SQLite reads all links between the two ops.
    links = and_(is_among(Link.upstream_version_id, ids), Link.downstream_id == down, time_filter.in_force(Link))
    return select(Link.position).where(links, Link.state == "valid").limit(1)


def to_versions(
    snapshot: Snapshot, upstream: OpRow, downstream: OpRow, versions: Sequence[VersionRow]
) -> list[LinkInForce]:
    """Return the links in force for exactly these versions of the downstream op."""
    targets = [version.id for version in versions]
    return _in_force(snapshot, _to_versions(snapshot.time_filter, up=upstream.id, down=downstream.id, targets=targets))


@prepared
def _to_versions(time_filter: TimeFilter, *, up: int, down: int, targets: Sequence[int]) -> Executable:
    return _select_relevant().where(_between(up, down), is_among(target_id, targets), effective(time_filter))


def relevant_links(
    snapshot: Snapshot,
    upstream: OpRow,
    candidates: Sequence[VersionRow],
    downstream: OpRow,
    targets: Sequence[VersionRow],
) -> list[LinkInForce]:
    """Return the links in force that decide the verdicts of the upstream candidates for each of the targets.

    One query, however many links there are: it finds the links of the candidates themselves, the newest valid link of
    each line that they are in, and the newest valid link between the two ops. Links for any version of the downstream
    op are always among them; without `targets`, only those.
    """
    if not candidates:
        return []
    target_ids = [0, *(version.id for version in targets)]
    ids = [row.id for row in candidates]
    if upstream.compat == "exact":
        query = _relevant(snapshot.time_filter, up=upstream.id, ids=ids, down=downstream.id, targets=target_ids)
    else:
        lines = {line(row.number, upstream.compat) for row in candidates}
        # One parameter, however many lines.
        pairs = json.dumps([[*shared, target] for shared in sorted(lines) for target in target_ids])
        places = len(next(iter(lines)))
        query = _relevant_with_lines(
            snapshot.time_filter,
            places,
            up=upstream.id,
            ids=ids,
            down=downstream.id,
            targets=target_ids,
            pairs=pairs,
        )
    return _in_force(snapshot, query)


@prepared
def _relevant(time_filter: TimeFilter, *, up: int, ids: Sequence[int], down: int, targets: Sequence[int]) -> Executable:
    return union_all(_of_versions(time_filter, ids, down, targets), _at(_newest_valid(time_filter, up, down)))


@prepared
def _relevant_with_lines(
    time_filter: TimeFilter,
    places: int,
    *,
    up: int,
    ids: Sequence[int],
    down: int,
    targets: Sequence[int],
    pairs: str,
) -> Executable:
    return union_all(
        _of_versions(time_filter, ids, down, targets),
        _at(_of_lines(time_filter, places, up, down, pairs)),
        _at(_newest_valid(time_filter, up, down)),
    )


def _of_versions(time_filter: TimeFilter, ids: Any, down: Any, targets: Any) -> Select[*tuple[Any, ...]]:
    # No condition on the upstream op: with one, SQLite reads all links between the two ops.
    own, to_targets = is_among(Link.upstream_version_id, ids), is_among(target_id, targets)
    return _select_relevant().where(own, Link.downstream_id == down, to_targets, effective(time_filter))


def _of_lines(time_filter: TimeFilter, places: int, up: int, down: int, pairs: str) -> Select[Any]:
    """For each line and target the position of the newest valid link: one step in an index each."""
    rows = json_rows(pairs)
    *shared, target = (number_at(rows, place) for place in range(places + 1))
    columns = (Link.upstream_major, Link.upstream_minor)[:places]
    same = [column == part for column, part in zip(columns, shared)]  # noqa: B905
    newest = select(Link.position).where(_valid_between(time_filter, up, down), *same[:-1], target_id == target)
    # Between two bounds, and ordered by it: of the indexes that have the links of a target, only that of the lines is.
    newest = newest.where(columns[-1] >= shared[-1], columns[-1] <= shared[-1])
    newest = newest.order_by(columns[-1].desc(), Link.position.desc()).limit(ONE)
    return select(newest.correlate(rows).scalar_subquery()).select_from(rows)


def _newest_valid(time_filter: TimeFilter, up: int, down: int) -> Select[Any]:
    """Select the position of the newest valid link between the two ops."""
    newest = select(Link.position).where(_valid_between(time_filter, up, down))
    return newest.order_by(Link.position.desc()).limit(ONE)


def _at(positions: Select[Any]) -> Select[*tuple[Any, ...]]:
    """Select the links at the few positions that another query selects."""
    return _select_relevant().where(is_selected(Link.position, positions.scalar_subquery()))


def linked_in_line(snapshot: Snapshot, op: OpRow, shared: Line, without: VersionRow) -> VersionNumber | None:
    """Return a version of the op, not `without`, that shares these parts and has a valid link; None if there is none.

    Of several it is the one with the highest minor number and, of these, with the newest link.
    """
    query = _linked_in_line(
        snapshot.time_filter, len(shared), up=op.id, major=shared[0], minor=shared[-1], own=without.id
    )
    found = snapshot.execute(query).first()
    return None if found is None else VersionNumber(*found)


@prepared
def _linked_in_line(time_filter: TimeFilter, places: int, *, up: int, major: int, minor: int, own: int) -> Executable:
    same = [Link.upstream_major == major, Link.upstream_minor == minor][:places]
    query = select(Version.major_number, Version.minor_number, Version.patch_number)
    query = query.join(Link, Link.upstream_version_id == Version.id)
    query = query.where(Link.upstream_id == up, Link.state == "valid", *same, time_filter.in_force(Link))
    return query.where(Version.id != own).order_by(Link.upstream_minor.desc(), Link.position.desc()).limit(1)


def _in_force(snapshot: Snapshot, query: Query) -> list[LinkInForce]:
    found = []
    for position, state, major, minor, patch, down_major, down_minor, down_patch in snapshot.execute(query).all():
        to_number = None if down_major is None else VersionNumber(down_major, down_minor, down_patch)
        found.append(LinkInForce(VersionNumber(major, minor, patch), to_number, state == "valid", position))
    return found


target_id = func.coalesce(Link.downstream_version_id, text("0"))


def _between(up: int, down: int) -> ColumnElement[bool]:
    return and_(Link.upstream_id == up, Link.downstream_id == down)


def _valid_between(time_filter: TimeFilter, up: int, down: int) -> ColumnElement[bool]:
    return and_(_between(up, down), time_filter.in_force(Link), Link.state == "valid")


def _select_relevant() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Link.position,
            Link.state,
            Version.major_number,
            Version.minor_number,
            Version.patch_number,
            _DOWN.major_number,
            _DOWN.minor_number,
            _DOWN.patch_number,
        )
        .join(Version, Version.id == Link.upstream_version_id)
        .outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id)
    )
