"""Links: the journal of what is valid for what. Nothing is overwritten; the newest entry for a four is in force."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    exists,
    func,
    insert,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.statements import Query, Statement, prepared
from opstore_daemon.metadata.tables import Journal, Link, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import LinkRecord, LinkState
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import LinkInForce, line
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.snapshot import Sight, View


@dataclass(frozen=True, slots=True)
class Four:
    """What an entry is about: the upstream version, and the downstream op or one version of it."""

    upstream: VersionRow
    downstream: OpRow
    version: VersionRow | None

    def __post_init__(self) -> None:
        if self.upstream.op_id == self.downstream.id:
            raise errors.InvalidRequest(reason=f"{self.downstream.name} can't be its own upstream")

    def __str__(self) -> str:
        return self.downstream.name if self.version is None else f"{self.downstream.name}@{self.version.number}"

    @property
    def values(self) -> dict[str, int]:
        """What picks the entries for exactly these four."""
        target = 0 if self.version is None else self.version.id
        return {"upstream": self.upstream.id, "to": self.downstream.id, "target": target}


def _of_four(upstream: int, to: int, target: int) -> ColumnElement[bool]:
    return and_(Link.upstream_version_id == upstream, Link.downstream_id == to, _target == target)


def _said(sight: Sight) -> ColumnElement[bool]:
    """The entries in force that say something."""
    return and_(sight.in_force(Link), Link.state != "revoked")


def four(view: View, upstream: VersionRow, to: Reference) -> Four:
    """What a link from that version is about; a bare downstream is the op, and is created where it is unknown."""
    if to.bare:
        return Four(upstream, ops.ensure(view.connection, to.op), None)
    op = ops.get(view, to.op)
    return Four(upstream, op, version_rows.pick(view, op.id, to))


def enter(connection: Connection, four: Four, state: LinkState, evidence: str | None, now: int) -> LinkRecord:
    """Makes the entry, unless the one in force says the same; for `revoked`, returns what was revoked.

    Raises LinkNotFound where there is nothing to revoke.
    """
    before = record(connection, four)
    if state == "revoked":
        if before is None:
            upstream = f"{four.upstream.op}@{four.upstream.number}"
            raise errors.LinkNotFound(upstream=upstream, downstream=str(four), op=four.upstream.op)
        _write(connection, four, state, evidence, now)
        return before
    same = before is not None and (before.valid, before.evidence) == (state == "valid", evidence)
    if before is None or not same:
        _write(connection, four, state, evidence, now)
        before = record(connection, four)
    assert before is not None, "it was written in this transaction"  # noqa: S101
    return before


def _write(connection: Connection, four: Four, state: LinkState, evidence: str | None, now: int) -> None:
    position = journal.enter(connection, "link", now)
    _ended(**four.values, at=position).run(connection)
    entry = {
        "position": position,
        "upstream_id": four.upstream.op_id,
        "upstream_version_id": four.upstream.id,
        "upstream_major": four.upstream.number.major,
        "upstream_minor": four.upstream.number.minor,
        "downstream_id": four.downstream.id,
        "downstream_version_id": None if four.version is None else four.version.id,
        "state": state,
        "evidence": evidence,
    }
    _ENTER.run(connection, entry)
    ops.touch(connection, [four.upstream.op_id, four.downstream.id], position)


_ENTER = Statement(insert(Link))


@prepared
def _ended(*, upstream: int, to: int, target: int, at: int) -> Executable:
    return update(Link).where(_of_four(upstream, to, target), Link.until.is_(None)).values(until=at)


def take_over(connection: Connection, old: VersionRow, new: VersionRow, now: int) -> None:
    """Enters the valid links of the old version, both ways, for a new version of the same op."""
    evidence = f"taken over from {old.op}@{old.number}"
    own = Link.upstream_version_id == old.id
    to = and_(Link.downstream_id == old.op_id, Link.downstream_version_id == old.id)
    wanted = select(Link.position, Link.upstream_version_id, Op.name, Link.downstream_version_id)
    view = View(connection)
    wanted = wanted.join(Op, Op.id == Link.downstream_id).where(view.sight.in_force(Link), Link.state == "valid")
    # Two queries: with OR, SQLite reads all links.
    found = [*connection.execute(wanted.where(own)), *connection.execute(wanted.where(to))]

    def row(version_id: int) -> VersionRow:
        found = new if version_id == old.id else version_rows.by_id(view, version_id)
        assert found is not None, "a foreign key says so"  # noqa: S101
        return found

    for _, upstream_id, downstream, version_id in sorted(found, key=lambda link: link.position):
        version = None if version_id is None else row(version_id)
        enter(connection, Four(row(upstream_id), ops.get(view, downstream), version), "valid", evidence, now)


def record(connection: Connection, four: Four) -> LinkRecord | None:
    """The entry in force for these four, or None."""
    view = View(connection)
    found = _records(view, _record(view.sight, **four.values))
    return found[0] if found else None


@prepared
def _record(sight: Sight, *, upstream: int, to: int, target: int) -> Executable:
    return _told().where(_of_four(upstream, to, target), _said(sight))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which links are wanted, by the names of ops; `history`: all entries that ever were."""

    op: str | None = None
    upstream: str | None = None
    downstream: str | None = None
    history: bool = False

    def conditions(self, view: View) -> Iterator[ColumnElement[bool]]:
        """Picks them; raises OpNotFound."""
        if not self.history:
            yield _said(view.sight)
        elif view.position is not None:
            yield Link.position <= view.position
        if self.upstream is not None:
            yield Link.upstream_id == ops.get(view, self.upstream).id
        if self.downstream is not None:
            yield Link.downstream_id == ops.get(view, self.downstream).id

    def sides(self, view: View) -> list[ColumnElement[bool]]:
        """Where the op may stand in a link; raises OpNotFound. An index serves each of them, and none both at once."""
        if self.op is None:
            return [true()]
        op = ops.get(view, self.op)
        return [Link.upstream_id == op.id, Link.downstream_id == op.id]


def records(view: View, asked: Filter, below: int | None, limit: int) -> list[LinkRecord]:
    """The links that are asked for, newest first, at most `limit` of those below a position."""
    conditions = [*asked.conditions(view), true() if below is None else Link.position < below]
    newest = [
        select(Link.position).where(*conditions, side).order_by(Link.position.desc()).limit(limit).subquery()
        for side in asked.sides(view)
    ]
    among = Link.position.in_(union_all(*(select(positions.c.position) for positions in newest)))
    return _records(view, _told().where(among).order_by(Link.position.desc()).limit(limit))


_UP, _DOWN = aliased(Version), aliased(Version)
_UP_OP, _DOWN_OP = aliased(Op), aliased(Op)


def _told() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Link.position,
            Link.state,
            Link.evidence,
            Link.until,
            Journal.at,
            _UP_OP.name,
            _UP.major_number,
            _UP.minor_number,
            _UP.patch_number,
            _DOWN_OP.name,
            _DOWN.major_number,
            _DOWN.minor_number,
            _DOWN.patch_number,
        )
        .select_from(Link)
        .join(Journal, Journal.position == Link.position)
        .join(_UP_OP, _UP_OP.id == Link.upstream_id)
        .join(_UP, _UP.id == Link.upstream_version_id)
        .join(_DOWN_OP, _DOWN_OP.id == Link.downstream_id)
        .outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id)
    )


def _records(view: View, wanted: Query | Executable) -> list[LinkRecord]:
    found = []
    for position, state, evidence, until, at, upstream, *numbers in view.execute(wanted):
        up, downstream, down = numbers[:3], numbers[3], numbers[4:]
        found.append(
            LinkRecord(
                upstream=upstream,
                upstream_version=str(VersionNumber(*up)),
                downstream=downstream,
                downstream_version=None if down[0] is None else str(VersionNumber(*down)),
                valid=state == "valid",
                state=cast(LinkState, state),
                evidence=evidence,
                position=position,
                until=until if view.is_there(until) else None,
                registered_at=journal.moment(at),
            )
        )
    return found


def downstreams(view: View, op: OpRow) -> list[str]:
    """The ops to which a link of that upstream op is in force."""
    return list(view.execute(_downstreams(view.sight, op_id=op.id)).scalars())


@prepared
def _downstreams(sight: Sight, *, op_id: int) -> Executable:
    linked = exists().where(Link.upstream_id == op_id, Link.downstream_id == Op.id, _said(sight))
    return select(Op.name).where(Op.id != op_id, linked)


def any_in_force(view: View, upstream: OpRow, downstream: OpRow) -> bool:
    """Whether any link between the two ops is in force, whatever it says."""
    return view.execute(_any_in_force(view.sight, up=upstream.id, down=downstream.id)).first() is not None


@prepared
def _any_in_force(sight: Sight, *, up: int, down: int) -> Executable:
    return select(Link.position).where(_between(up, down), _said(sight)).limit(1)


def newest_valid(view: View, upstream: OpRow, downstream: OpRow) -> list[LinkInForce]:
    """The newest valid link between the two ops, if there is one."""
    return _in_force(view, _newest_valid(view.sight, up=upstream.id, down=downstream.id))


@prepared
def _newest_valid(sight: Sight, *, up: int, down: int) -> Executable:
    return _matter().where(_valid_between(sight, up, down)).order_by(Link.position.desc()).limit(1)


def any_valid_for_op(view: View, upstream: OpRow, downstream: OpRow) -> bool:
    """Whether a valid link is for the downstream op whatever its version."""
    return view.execute(_any_valid_for_op(view.sight, up=upstream.id, down=downstream.id)).first() is not None


@prepared
def _any_valid_for_op(sight: Sight, *, up: int, down: int) -> Executable:
    return select(Link.position).where(_valid_between(sight, up, down), _target == text("0")).limit(1)


def to_versions(view: View, upstream: OpRow, downstream: OpRow, versions: Sequence[VersionRow]) -> list[LinkInForce]:
    """The links in force for exactly these versions of the downstream op."""
    targets = [version.id for version in versions]
    return _in_force(view, _to_versions(view.sight, up=upstream.id, down=downstream.id, targets=targets))


@prepared
def _to_versions(sight: Sight, *, up: int, down: int, targets: Sequence[int]) -> Executable:
    return _matter().where(_between(up, down), _target.in_(targets), _said(sight))


def that_matter(
    view: View, upstream: OpRow, candidates: Sequence[VersionRow], downstream: OpRow, version: VersionRow | None
) -> list[LinkInForce]:
    """The links in force that decide the verdicts of these candidates for that downstream version (or none).

    Three queries, however many links there are: the entries for the candidates themselves, the newest valid one of each
    line that they are in, and the newest valid one between the two ops.
    """
    return that_matter_among(view, upstream, candidates, downstream, [] if version is None else [version])


def that_matter_among(
    view: View, upstream: OpRow, candidates: Sequence[VersionRow], downstream: OpRow, targets: Sequence[VersionRow]
) -> list[LinkInForce]:
    """The same for each of several downstream versions."""
    return of_versions(view, upstream, candidates, downstream, targets) + newest_valid(view, upstream, downstream)


def of_versions(
    view: View, upstream: OpRow, candidates: Sequence[VersionRow], downstream: OpRow, versions: Sequence[VersionRow]
) -> list[LinkInForce]:
    """Of those the ones that are of the candidates, or of what is alike to them."""
    if not candidates:
        return []
    targets = [0, *(version.id for version in versions)]
    ids = [row.id for row in candidates]
    found = _in_force(view, _of_versions(view.sight, ids=ids, down=downstream.id, targets=targets))
    if upstream.compat != "exact":
        lines = {line(row.number, upstream.compat) for row in candidates}
        # One parameter, however many lines.
        asked = json.dumps([[*shared, target] for shared in sorted(lines) for target in targets])
        places = len(next(iter(lines)))
        found += _in_force(view, _of_lines(view.sight, places, up=upstream.id, down=downstream.id, asked=asked))
    return found


@prepared
def _of_versions(sight: Sight, *, ids: Sequence[int], down: int, targets: Sequence[int]) -> Executable:
    # Without the upstream op: SQLite would rather read all links between the two.
    own = Link.upstream_version_id.in_(ids)
    return _matter().where(own, Link.downstream_id == down, _target.in_(targets), _said(sight))


@prepared
def _of_lines(sight: Sight, places: int, *, up: int, down: int, asked: str) -> Executable:
    """For each line and target the newest valid link: a step down an index for each."""
    rows = func.json_each(asked).table_valued("value")
    # Not cast: an index on an expression, which has no affinity, serves no comparison that has one.
    *shared, target = (func.json_extract(rows.c.value, f"$[{place}]") for place in range(places + 1))
    same = [column == part for column, part in zip((Link.upstream_major, Link.upstream_minor), shared)]  # noqa: B905
    newest = select(func.max(Link.position)).where(_valid_between(sight, up, down), *same, _target == target)
    wanted = newest.correlate(rows).scalar_subquery()
    return _matter().where(Link.position.in_(select(wanted).select_from(rows)))


def _in_force(view: View, query: Query) -> list[LinkInForce]:
    found = []
    for position, state, major, minor, patch, down_major, down_minor, down_patch in view.execute(query):
        to_number = None if down_major is None else VersionNumber(down_major, down_minor, down_patch)
        found.append(LinkInForce(VersionNumber(major, minor, patch), to_number, state == "valid", position))
    return found


_target = func.coalesce(Link.downstream_version_id, text("0"))


def _between(up: int, down: int) -> ColumnElement[bool]:
    return and_(Link.upstream_id == up, Link.downstream_id == down)


def _valid_between(sight: Sight, up: int, down: int) -> ColumnElement[bool]:
    return and_(_between(up, down), sight.in_force(Link), Link.state == "valid")


def _matter() -> Select[*tuple[Any, ...]]:
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
