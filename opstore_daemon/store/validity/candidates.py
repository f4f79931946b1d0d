"""The candidates of a resolution (`rules.resolution.Candidates`), read from a snapshot in blocks and cached.

The links to a downstream version are read together with those of the other versions of its block; so are the links
from an upstream version to the downstream op. The upstream versions that a downstream version accepts are found by the
lines of its links, so that versions without links cost nothing.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import takewhile
from typing import Literal

from opstore_daemon.rules.budget import QUERY_STEPS, ROW_STEPS, Budget
from opstore_daemon.rules.resolution import Edge
from opstore_daemon.rules.verdict import EdgeLinks, Line, LinkInForce, Verdict
from opstore_daemon.store.catalog import link_queries, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow, Where
from opstore_daemon.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Override:
    """A version that changes the candidates of its op: it counts as the latest, is the only one, or is an extra one.

    The user named it, so it may be yanked. `newer`: only the candidates that are newer than it.
    """

    version: VersionRow
    kind: Literal["latest", "only", "extra", "newer"]


class LazyRows:
    """Version rows that are read a block at a time, each block once, however often they are iterated over."""

    def __init__(self, blocks: Iterator[list[VersionRow]]) -> None:
        self._blocks = blocks
        self._cached: list[VersionRow] = []

    def __iter__(self) -> Iterator[VersionRow]:
        index = 0
        while True:
            while index < len(self._cached):
                yield self._cached[index]
                index += 1
            block = next(self._blocks, None)
            if block is None:
                return
            self._cached += block


class Candidates:
    """The candidates of some ops, and which of them the edges accept.

    What a search reads, it shares with the searches that have other overrides (`replace`). Rows, links and queries are
    steps of the budget, and so are the candidates that an edge does not accept: all methods raise what `budget.spend`
    raises.
    """

    def __init__(
        self, snapshot: Snapshot, ops: Mapping[str, OpRow], overrides: Mapping[str, Override], budget: Budget
    ) -> None:
        """`overrides` changes the candidates of some ops."""
        self._snapshot, self._ops, self._overrides, self._budget = snapshot, ops, overrides, budget
        self._accept_unknown = False
        self._by_op: dict[tuple[str, Override | None], LazyRows] = {}
        self._by_line: dict[tuple[str, Override | None, Line], LazyRows] = {}
        self._accepted: dict[tuple[Edge, Override | None, bool, int], LazyRows] = {}  # by the downstream's version id
        self._rows: dict[int, VersionRow] = {}  # by version id
        self._blocks: dict[int, list[VersionRow]] = {}  # by version id: the block that it was read with
        self._edges: dict[Edge, _EdgeReader] = {}
        self._selectables: dict[int, Where] = {}  # by op id: what `latest` could select

    def replace(self, overrides: Mapping[str, Override], *, accept_unknown: bool = False) -> "Candidates":
        """Return the candidates with other overrides; with `accept_unknown`, edges accept unknown verdicts too."""
        replaced = copy.copy(self)
        replaced._overrides, replaced._accept_unknown = overrides, accept_unknown
        return replaced

    def newest_first(self, op: str) -> LazyRows:
        """Return the candidates of the op, newest first."""
        key = op, self._overrides.get(op)
        if key not in self._by_op:
            self._by_op[key] = self._read(op)
        return self._by_op[key]

    def accepted_upstreams(self, edge: Edge, downstream: VersionRow) -> LazyRows:
        """Return the candidates of the edge's upstream op that it accepts for that downstream version, newest first."""
        key = edge, self._overrides.get(edge[0]), self._accept_unknown, downstream.id
        if key not in self._accepted:
            rows = self._possible_upstreams(edge, downstream)
            self._accepted[key] = LazyRows([row] for row in rows if self._is_accepted(edge, row, downstream))
        return self._accepted[key]

    def _possible_upstreams(self, edge: Edge, downstream: VersionRow) -> Iterable[VersionRow]:
        """Return all candidates that the edge can accept, newest first, and as few others as the links allow."""
        upstream_op, reader = edge[0], self._edge(edge)
        links = self._read_links(edge, None, downstream)
        if not links.has_valid_link:
            return self.newest_first(upstream_op) if self._accept_unknown else ()
        if reader.has_valid_for_op:
            return self.newest_first(upstream_op)
        if self._ops[upstream_op].compat == "exact":
            self._prefetch(upstream_op, reader.take_new_links())
        lines = links.lines_for(downstream.number)
        self._budget.spend(len(lines))
        return merge(*(self._in_line(upstream_op, line) for line in lines), key=lambda row: -row.sequence)

    def _is_accepted(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> bool:
        self._budget.spend()
        return self.accepts(edge, upstream, downstream)

    def accepts(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> bool:
        """Return whether the edge is valid between these two versions (or, with `accept_unknown`, unknown)."""
        links = self._read_links(edge, upstream, downstream)
        if self._accept_unknown and not links.has_valid_link:
            return links.word(upstream.number, downstream.number) != "invalid"
        return links.is_valid(upstream.number, downstream.number)

    def verdict(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> Verdict:
        """Return the verdict of the edge between these two versions, with its reason."""
        return self._read_links(edge, upstream, downstream).verdict(upstream.number, downstream.number)

    def can_be_newer(self, op: str, version: VersionRow, downstreams: Iterable[str]) -> bool:
        """Return False if no candidate of the op that is newer than the version can be valid for the downstream ops.

        It looks for links, and is much cheaper than a search.
        """
        if self._ops[op].compat != "exact":  # else the link of another version of a line would do
            return True
        newer = list(takewhile(lambda row: row.sequence > version.sequence, self.newest_first(op)))
        return bool(newer) and all(self._any_linked(newer, self._ops[down]) for down in downstreams)

    def _any_linked(self, rows: Sequence[VersionRow], downstream: OpRow) -> bool:
        for start in range(0, len(rows), version_rows.BLOCK):
            self._budget.spend(QUERY_STEPS)
            if link_queries.any_valid_of(self._snapshot, rows[start : start + version_rows.BLOCK], downstream):
                return True
        return False

    def _read_links(self, edge: Edge, upstream: VersionRow | None, downstream: VersionRow) -> EdgeLinks:
        upstreams = [] if upstream is None else self._blocks.get(upstream.id, [upstream])
        return self._edge(edge).read(upstreams, self._blocks.get(downstream.id, [downstream]))

    def _edge(self, edge: Edge) -> "_EdgeReader":
        if edge not in self._edges:
            self._edges[edge] = _EdgeReader(self._snapshot, self._ops[edge[0]], self._ops[edge[1]], self._budget)
        return self._edges[edge]

    def _in_line(self, op: str, line: Line) -> LazyRows:
        key = op, self._overrides.get(op), line
        if key not in self._by_line:
            self._by_line[key] = self._read(op, version_rows.with_number_prefix(line))
        return self._by_line[key]

    def _prefetch(self, op: str, links: Iterable[LinkInForce]) -> None:
        """Read the upstream versions of valid links, many in a query instead of one."""
        override = self._overrides.get(op)
        numbers = dict.fromkeys(link.upstream for link in links if link.valid)
        missing = [number for number in numbers if (op, override, number) not in self._by_line]
        for start in range(0, len(missing), version_rows.BLOCK):
            chunk = missing[start : start + version_rows.BLOCK]
            rows = {row.number: row for row in self._read(op, version_rows.with_numbers(chunk))}
            for number in chunk:
                row = rows.get(number)
                self._by_line[op, override, number] = LazyRows(iter([] if row is None else [[row]]))

    def _read(self, op: str, where: Where = version_rows.ALL) -> LazyRows:
        condition = self._condition(self._ops[op], self._overrides.get(op))
        return LazyRows(self._remember(version_rows.blocks(self._snapshot, self._ops[op].id, condition & where)))

    def _remember(self, blocks: Iterator[list[VersionRow]]) -> Iterator[list[VersionRow]]:
        """Yield the blocks with one row object a version, since the search compares candidates by identity."""
        for block in blocks:
            self._budget.spend(QUERY_STEPS + ROW_STEPS * len(block))
            rows = [self._rows.setdefault(row.id, row) for row in block]
            for row in rows:
                self._blocks.setdefault(row.id, rows)
            yield rows

    def _condition(self, op: OpRow, override: Override | None) -> Where:
        if override is None:
            return self._selectable(op)
        if override.kind == "only":
            return version_rows.with_id(override.version.id)
        if override.kind == "newer":
            newer = version_rows.newer_than(override.version.sequence)
            return self._selectable(op) & newer
        older = version_rows.older_than(override.version.sequence) if override.kind == "latest" else version_rows.ALL
        return version_rows.either(override.version, self._selectable(op) & older)

    def _selectable(self, op: OpRow) -> Where:
        if op.id not in self._selectables:
            self._selectables[op.id] = version_rows.candidates(self._snapshot, op.id)
        return self._selectables[op.id]


class _EdgeReader:
    """Reads the links of one edge, as far as verdicts need them."""

    def __init__(self, snapshot: Snapshot, upstream: OpRow, downstream: OpRow, budget: Budget) -> None:
        self._snapshot, self._upstream, self._downstream, self._budget = snapshot, upstream, downstream, budget
        self._links = EdgeLinks(upstream.name, downstream.name, upstream.compat)
        self._new: list[LinkInForce] = []
        of_edge = link_queries.of_edge(snapshot, upstream, downstream)
        self._add(of_edge)
        for_op = [link for link in of_edge if link.downstream is None]
        self.has_valid_for_op = any(link.valid for link in for_op)
        self._has_for_op = bool(for_op)
        self._read_upstreams: set[int] = set()
        self._read_downstreams: set[int] = set()

    def read(self, upstreams: Sequence[VersionRow], downstreams: Sequence[VersionRow]) -> EdgeLinks:
        """Return the links of the edge, with all that are in force for these blocks of versions."""
        if downstreams and downstreams[0].id not in self._read_downstreams:
            self._add(link_queries.to_versions(self._snapshot, self._upstream, self._downstream, downstreams))
            self._read_downstreams |= {row.id for row in downstreams}
        if self._has_for_op and upstreams and upstreams[0].id not in self._read_upstreams:
            self._add(link_queries.relevant_links(self._snapshot, self._upstream, upstreams, self._downstream, []))
            self._read_upstreams |= {row.id for row in upstreams}
        return self._links

    def take_new_links(self) -> list[LinkInForce]:
        """Return the links that were read since the last call."""
        links, self._new = self._new, []
        return links

    def _add(self, links: Sequence[LinkInForce]) -> None:
        self._budget.spend(QUERY_STEPS + ROW_STEPS * len(links))
        self._links.add(links)
        self._new += links
