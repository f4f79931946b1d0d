"""Links: a journal of which versions are valid together, where the newest entry for a key is in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    exists,
    insert,
    select,
    true,
    union_all,
    update,
)

from opstore_daemon.metadata.statements import Query, Statement, prepared
from opstore_daemon.metadata.tables import Journal, Link, Op, Version, aliased
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import LinkRecord, LinkState
from opstore_daemon.protocol.references import AnyVersion, Reference
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store import journal
from opstore_daemon.store.catalog import ops, references, version_rows
from opstore_daemon.store.catalog.link_queries import effective, target_id
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.snapshot import Snapshot, TimeFilter

LISTED = 5  # links that the error of a revocation lists


@dataclass(frozen=True, slots=True)
class LinkKey:
    """The two ends of a link: an upstream version, and a downstream op or (`version`) one version of it."""

    upstream: VersionRow
    downstream: OpRow
    version: VersionRow | None

    def __post_init__(self) -> None:
        if self.upstream.op_id == self.downstream.id:
            raise errors.InvalidRequest(reason=f"{self.downstream.name} can't be its own upstream")

    def __str__(self) -> str:
        return (
            f"{self.downstream.name}@any" if self.version is None else f"{self.downstream.name}@{self.version.number}"
        )

    @property
    def values(self) -> dict[str, int]:
        """The values of `_has_key`."""
        target = 0 if self.version is None else self.version.id
        return {"upstream": self.upstream.id, "to": self.downstream.id, "target": target}


def _has_key(upstream: int, to: int, target: int) -> ColumnElement[bool]:
    return and_(Link.upstream_version_id == upstream, Link.downstream_id == to, target_id == target)


def link_key(snapshot: Snapshot, upstream: VersionRow, to: Reference) -> LinkKey:
    """Return the key of a link from that version to the version that the reference selects; `any`: to any version.

    Raises OpNotFound, NoVersionYet for a bare name of an op without versions, InvalidRequest if both ends are the same
    op, and what `resolve_reference` raises.
    """
    op = ops.get(snapshot, to.op)
    if isinstance(to.selector, AnyVersion):
        return LinkKey(upstream, op, None)
    if not to.bare:
        return LinkKey(upstream, op, references.resolve_reference(snapshot, op.id, to))
    latest = version_rows.latest(snapshot, op.id)
    if latest is None:
        raise errors.NoVersionYet(op=op.name)
    return LinkKey(upstream, op, latest)


def record_link(
    connection: Connection, key: LinkKey, state: LinkState, evidence: str | None, stamp: Stamp, *, reverses: bool = True
) -> LinkRecord:
    """Record a link in that state, unless the link in force is the same; return the link in force.

    Without evidence, a link in the same state keeps the evidence that it has. Unless it `reverses`, a link that says
    that the versions are known not to be valid together is kept and returned, also one to any version of the downstream
    op. For `revoked`, return the link that is revoked; raise LinkNotFound, which lists the links between the two ops,
    if there is none.
    """
    before = find(connection, key)
    if state == "revoked":
        if before is None:
            raise _not_found(connection, key)
        _write(connection, key, state, evidence, stamp)
        return before
    if before is not None and before.state == state and evidence in (None, before.evidence):
        return before
    kept = None if reverses else before or _to_any(connection, key)
    if kept is not None and not kept.valid:
        return kept
    _write(connection, key, state, evidence, stamp)
    recorded = find(connection, key)
    assert recorded is not None, "this transaction wrote it"  # noqa: S101
    return recorded


def record_evidence(connection: Connection, key: LinkKey, evidence: str, run: int, stamp: Stamp) -> LinkRecord:
    """Record a valid link with a run, named by its position, as evidence; return the link."""
    _write(connection, key, "valid", evidence, stamp, run)
    recorded = find(connection, key)
    assert recorded is not None, "this transaction wrote it"  # noqa: S101
    return recorded


def deciding(connection: Connection, key: LinkKey) -> LinkRecord | None:
    """Return the link in force that decides the verdict of these two versions, or None.

    A link to exactly this downstream version outranks one to any version (rules.verdict).
    """
    return find(connection, key) or _to_any(connection, key)


def _to_any(connection: Connection, key: LinkKey) -> LinkRecord | None:
    """Return the link in force to any version of the downstream op; None if there is none, or the key is that one."""
    return None if key.version is None else find(connection, LinkKey(key.upstream, key.downstream, None))


def _not_found(connection: Connection, key: LinkKey) -> errors.LinkNotFound:
    between = Filter(upstream=OpName(key.upstream.op), downstream=key.downstream.name)
    found = records(Snapshot(connection), between, None, LISTED + 1)
    listed = [_described(link) for link in found[:LISTED]]
    if len(found) > LISTED:
        listed.append("and more")
    pair = f"{key.upstream.op} and {key.downstream.name}"
    others = f"the links between {pair}: {', '.join(listed)}" if listed else f"there is no link between {pair}"
    upstream = f"{key.upstream.op}@{key.upstream.number}"
    return errors.LinkNotFound(upstream=upstream, downstream=str(key), op=key.upstream.op, others=others)


def _described(link: LinkRecord) -> str:
    ends = f"{link.upstream}@{link.upstream_version} -> {link.downstream}@{link.downstream_version or AnyVersion()}"
    return ends if link.valid else f"{ends} (invalid)"


def _write(
    connection: Connection,
    key: LinkKey,
    state: LinkState,
    evidence: str | None,
    stamp: Stamp,
    run: int | None = None,
) -> None:
    position = journal.append(connection, "link", stamp)
    _end_in_force(**key.values, at=position).run(connection)
    entry = {
        "position": position,
        "upstream_id": key.upstream.op_id,
        "upstream_version_id": key.upstream.id,
        "upstream_major": key.upstream.number.major,
        "upstream_minor": key.upstream.number.minor,
        "downstream_id": key.downstream.id,
        "downstream_version_id": None if key.version is None else key.version.id,
        "state": state,
        "evidence": evidence,
        "run_position": run,
    }
    _INSERT.run(connection, entry)
    ops.touch(connection, [key.upstream.op_id, key.downstream.id], position)


_INSERT = Statement(insert(Link))


@prepared
def _end_in_force(*, upstream: int, to: int, target: int, at: int) -> Executable:
    return update(Link).where(_has_key(upstream, to, target), Link.until.is_(None)).values(until=at)


def copy_valid_links(connection: Connection, old: VersionRow, new: VersionRow, stamp: Stamp) -> None:
    """Record the valid links from and to the old version for a new version of the same op."""
    evidence = f"copied from {old.op}@{old.number}"
    own = Link.upstream_version_id == old.id
    to = and_(Link.downstream_id == old.op_id, Link.downstream_version_id == old.id)
    query = select(Link.position, Link.upstream_version_id, Op.name, Link.downstream_version_id)
    snapshot = Snapshot(connection)
    query = query.join(Op, Op.id == Link.downstream_id).where(
        snapshot.time_filter.in_force(Link), Link.state == "valid"
    )
    # Two queries: for a condition with OR, SQLite reads all links.
    found = [*connection.execute(query.where(own)), *connection.execute(query.where(to))]

    def row(version_id: int) -> VersionRow:
        found = new if version_id == old.id else version_rows.by_id(snapshot, version_id)
        assert found is not None, "a foreign key guarantees it"  # noqa: S101
        return found

    for _, upstream_id, downstream, version_id in sorted(found, key=lambda link: link.position):
        version = None if version_id is None else row(version_id)
        key = LinkKey(row(upstream_id), ops.get(snapshot, OpName(downstream)), version)
        record_link(connection, key, "valid", evidence, stamp)


def find(connection: Connection, key: LinkKey) -> LinkRecord | None:
    """Return the link in force with this key, or None if there is none or it is revoked."""
    snapshot = Snapshot(connection)
    found = _records(snapshot, _find(snapshot.time_filter, **key.values))
    return found[0] if found else None


@prepared
def _find(time_filter: TimeFilter, *, upstream: int, to: int, target: int) -> Executable:
    return _select_entries().where(_has_key(upstream, to, target), effective(time_filter))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which links to list, by the names of ops; with `history` all entries, not only those in force."""

    op: OpName | None = None
    upstream: OpName | None = None
    downstream: OpName | None = None
    history: bool = False

    @classmethod
    def parse(cls, op: str | None, upstream: str | None, downstream: str | None, *, history: bool) -> "Filter":
        """Return the filter of these names; raise InvalidName."""

        def parse(name: str | None) -> OpName | None:
            return None if name is None else OpName.parse(name)

        return cls(parse(op), parse(upstream), parse(downstream), history)

    def conditions(self, snapshot: Snapshot) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions on links; raise OpNotFound."""
        if not self.history:
            yield effective(snapshot.time_filter)
        elif snapshot.position is not None:
            yield Link.position <= snapshot.position
        if self.upstream is not None:
            yield Link.upstream_id == ops.get_id(snapshot, self.upstream, history=self.history)
        if self.downstream is not None:
            yield Link.downstream_id == ops.get_id(snapshot, self.downstream, history=self.history)

    def sides(self, snapshot: Snapshot) -> list[ColumnElement[bool]]:
        """Return a condition for each side of a link that `op` may be on; raise OpNotFound.

        Two conditions, because no index serves both at once.
        """
        if self.op is None:
            return [true()]
        op_id = ops.get_id(snapshot, self.op, history=self.history)
        return [Link.upstream_id == op_id, Link.downstream_id == op_id]


def records(snapshot: Snapshot, filter_: Filter, below: int | None, limit: int) -> list[LinkRecord]:
    """Return the links that the filter selects, newest first: at most `limit` links below a position."""
    conditions = [*filter_.conditions(snapshot), true() if below is None else Link.position < below]
    newest = [
        select(Link.position).where(*conditions, side).order_by(Link.position.desc()).limit(limit).subquery()
        for side in filter_.sides(snapshot)
    ]
    among = Link.position.in_(union_all(*(select(positions.c.position) for positions in newest)))
    return _records(snapshot, _select_entries().where(among).order_by(Link.position.desc()).limit(limit))


_UP, _DOWN = aliased(Version), aliased(Version)
_UP_OP, _DOWN_OP = aliased(Op), aliased(Op)


def _select_entries() -> Select[*tuple[Any, ...]]:
    return (
        select(
            Link.position,
            Link.state,
            Link.evidence,
            Link.until,
            Link.run_position,
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


def _records(snapshot: Snapshot, query: Query | Executable) -> list[LinkRecord]:
    found = []
    for position, state, evidence, until, run, at, upstream, *numbers in snapshot.execute(query):
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
                until=until if snapshot.is_visible(until) else None,
                registered_at=journal.to_datetime(at),
                run=run,
            )
        )
    return found


def downstreams(snapshot: Snapshot, op: OpRow) -> list[str]:
    """Return the ops that a link in force leads to from this op."""
    return list(snapshot.execute(_downstreams(snapshot.time_filter, op_id=op.id)).scalars())


@prepared
def _downstreams(time_filter: TimeFilter, *, op_id: int) -> Executable:
    linked = exists().where(Link.upstream_id == op_id, Link.downstream_id == Op.id, effective(time_filter))
    return select(Op.name).where(Op.id != op_id, linked)
