"""Links: the journal of what is valid for what. Nothing is overwritten; the newest entry for a four is in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, select, tuple_, update
from sqlalchemy.orm import aliased

from opstore_daemon.metadata.tables import Journal, Link, Op, Version
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Compat, LinkRecord, LinkState
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import Number
from opstore_daemon.rules.verdict import LinkInForce
from opstore_daemon.store import journal, lookup, ops
from opstore_daemon.store.lookup import VersionRow
from opstore_daemon.store.ops import OpRow

IN_FORCE = and_(Link.until.is_(None), Link.state != "revoked")
_VALID = and_(Link.until.is_(None), Link.state == "valid")


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

    def condition(self) -> ColumnElement[bool]:
        """Picks the entries for exactly these four."""
        to = Link.downstream_version_id
        return and_(
            Link.upstream_version_id == self.upstream.id,
            Link.downstream_id == self.downstream.id,
            to.is_(None) if self.version is None else to == self.version.id,
        )


def four(connection: Connection, upstream: VersionRow, to: Reference) -> Four:
    """What a link from that version is about; a bare downstream is the op, and is created where it is unknown."""
    if to.bare:
        return Four(upstream, ops.ensure(connection, to.op), None)
    op = ops.get(connection, to.op)
    return Four(upstream, op, lookup.pick(connection, op.id, to))


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
    current = and_(four.condition(), Link.until.is_(None))
    connection.execute(update(Link).where(current).values(until=position))
    connection.execute(
        insert(Link).values(
            position=position,
            upstream_id=four.upstream.op_id,
            upstream_version_id=four.upstream.id,
            downstream_id=four.downstream.id,
            downstream_version_id=None if four.version is None else four.version.id,
            state=state,
            evidence=evidence,
        )
    )


def take_over(connection: Connection, old: VersionRow, new: VersionRow, now: int) -> None:
    """Enters the valid links of the old version, both ways, for a new version of the same op."""
    evidence = f"taken over from {old.op}@{old.number}"
    own = Link.upstream_version_id == old.id
    to = and_(Link.downstream_id == old.op_id, Link.downstream_version_id == old.id)
    wanted = select(Link.position, Link.upstream_version_id, Op.name, Link.downstream_version_id)
    wanted = wanted.join(Op, Op.id == Link.downstream_id).where(_VALID)
    # Two queries: with OR, SQLite reads all links.
    found = [*connection.execute(wanted.where(own)), *connection.execute(wanted.where(to))]

    def row(version_id: int) -> VersionRow:
        found = new if version_id == old.id else lookup.first(connection, Version.id == version_id)
        assert found is not None, "a foreign key says so"  # noqa: S101
        return found

    for _, upstream_id, downstream, version_id in sorted(found, key=lambda link: link.position):
        version = None if version_id is None else row(version_id)
        enter(connection, Four(row(upstream_id), ops.get(connection, downstream), version), "valid", evidence, now)


def record(connection: Connection, four: Four) -> LinkRecord | None:
    """The entry in force for these four, or None."""
    found = _records(connection, _told().where(four.condition(), IN_FORCE))
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which links are wanted, by the names of ops; `history`: all entries that ever were."""

    op: str | None = None
    upstream: str | None = None
    downstream: str | None = None
    history: bool = False

    def conditions(self, connection: Connection) -> Iterator[ColumnElement[bool]]:
        """Picks them; raises OpNotFound."""
        if not self.history:
            yield IN_FORCE
        if self.op is not None:
            op = ops.get(connection, self.op)
            yield (Link.upstream_id == op.id) | (Link.downstream_id == op.id)
        if self.upstream is not None:
            yield Link.upstream_id == ops.get(connection, self.upstream).id
        if self.downstream is not None:
            yield Link.downstream_id == ops.get(connection, self.downstream).id


def records(connection: Connection, asked: Filter, below: int | None, limit: int) -> list[LinkRecord]:
    """The links that are asked for, newest first, at most `limit` of those below a position."""
    wanted = _told().where(*asked.conditions(connection)).order_by(Link.position.desc()).limit(limit)
    if below is not None:
        wanted = wanted.where(Link.position < below)
    return _records(connection, wanted)


_UP, _DOWN = aliased(Version), aliased(Version)
_UP_OP, _DOWN_OP = aliased(Op), aliased(Op)


def _told() -> Select[Link, int, str, Version, str, Version]:
    return (
        select(Link, Journal.at, _UP_OP.name, _UP, _DOWN_OP.name, _DOWN)
        .join(Journal, Journal.position == Link.position)
        .join(_UP_OP, _UP_OP.id == Link.upstream_id)
        .join(_UP, _UP.id == Link.upstream_version_id)
        .join(_DOWN_OP, _DOWN_OP.id == Link.downstream_id)
        .outerjoin(_DOWN, _DOWN.id == Link.downstream_version_id)
    )


def _records(connection: Connection, wanted: Select[Link, int, str, Version, str, Version]) -> list[LinkRecord]:
    columns = (
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
    found = []
    for position, state, evidence, until, at, upstream, *numbers in connection.execute(
        wanted.with_only_columns(*columns)
    ):
        up, downstream, down = numbers[:3], numbers[3], numbers[4:]
        found.append(
            LinkRecord(
                upstream=upstream,
                upstream_number=str(Number(*up)),
                downstream=downstream,
                downstream_number=None if down[0] is None else str(Number(*down)),
                valid=state == "valid",
                state=cast(LinkState, state),
                evidence=evidence,
                position=position,
                until=until,
                registered_at=journal.moment(at),
            )
        )
    return found


def any_in_force(connection: Connection, upstream: OpRow, downstream: OpRow) -> bool:
    """Whether any link between the two ops is in force, whatever it says."""
    between = and_(Link.upstream_id == upstream.id, Link.downstream_id == downstream.id)
    return connection.execute(select(Link.position).where(between, IN_FORCE).limit(1)).first() is not None


def that_matter(
    connection: Connection,
    upstream: OpRow,
    candidates: list[VersionRow],
    downstream: OpRow,
    version: VersionRow | None,
) -> list[LinkInForce]:
    """The links in force that decide the verdicts of these candidates: three queries, however many links there are.

    The entries for the candidates themselves; the newest valid one of each line that they are in; and the newest
    valid one between the two ops.
    """
    between = and_(Link.upstream_id == upstream.id, Link.downstream_id == downstream.id)
    to = Link.downstream_version_id
    counts = to.is_(None) if version is None else (to.is_(None) | (to == version.id))
    own = _matter().where(between, counts, IN_FORCE, Version.id.in_([row.id for row in candidates]))
    wanted = [own, _matter().where(between, _VALID).order_by(Link.position.desc()).limit(1)]
    if upstream.compat != "exact":
        wanted.append(_newest_of_each_line(and_(between, counts, _VALID), upstream.compat, candidates))
    found: dict[int, LinkInForce] = {}
    for query in wanted:
        for position, state, major, minor, patch, down_major, down_minor, down_patch in connection.execute(query):
            to_number = None if down_major is None else Number(down_major, down_minor, down_patch)
            found[position] = LinkInForce(Number(major, minor, patch), to_number, state == "valid", position)
    return list(found.values())


def _matter() -> Select[int, str, int, int, int, int, int, int]:
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


def _newest_of_each_line(
    condition: ColumnElement[bool], compat: Compat, candidates: list[VersionRow]
) -> Select[int, str, int, int, int, int, int, int]:
    shared = [Version.major_number, Version.minor_number][: 1 if compat == "major" else 2]
    lines = {row.number[: len(shared)] for row in candidates}
    newest = (
        select(func.max(Link.position))
        .join(Version, Version.id == Link.upstream_version_id)
        .where(condition, tuple_(*shared).in_(lines))
        .group_by(*shared)
    )
    return _matter().where(Link.position.in_(newest))
