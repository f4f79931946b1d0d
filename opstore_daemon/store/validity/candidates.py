"""The candidates of a resolution (`rules.resolution.Candidates`), read from a snapshot in blocks and cached.

The links to a downstream version are read together with those of the other versions of its block; so are the links
from an upstream version to the downstream op. The upstream versions that a downstream version accepts are found by the
lines of its links, so that versions without links cost nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Literal

from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.resolution import Edge
from opstore_daemon.rules.verdict import EdgeLinks, Line, Verdict
from opstore_daemon.store.catalog import link_queries, version_rows
from opstore_daemon.store.catalog.ops import OpRow
from opstore_daemon.store.catalog.version_rows import VersionRow, Where
from opstore_daemon.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Override:
    """A version that changes the candidates of its op: it counts as the latest, is the only one, or is an extra one.

    The user named it, so it may be yanked.
    """

    version: VersionRow
    kind: Literal["latest", "only", "extra"]


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
    """The candidates of some ops, and which of them the edges accept; for one search."""

    def __init__(
        self,
        snapshot: Snapshot,
        ops: Mapping[str, OpRow],
        edges: Iterable[Edge],
        overrides: Mapping[str, Override],
        *,
        accept_unknown: bool,
    ) -> None:
        """`overrides` changes the candidates of some ops; `accept_unknown` makes edges accept unknown verdicts too."""
        self._snapshot, self._ops, self._accept_unknown = snapshot, ops, accept_unknown
        self._conditions = {name: self._condition(op, overrides.get(name)) for name, op in ops.items()}
        self._by_op: dict[str, LazyRows] = {}
        self._by_line: dict[tuple[str, Line], LazyRows] = {}
        self._rows: dict[int, VersionRow] = {}  # by version id
        self._blocks: dict[int, list[VersionRow]] = {}  # by version id: the block that it was read with
        self._edges = {edge: _EdgeReader(snapshot, ops[edge[0]], ops[edge[1]]) for edge in edges}

    def newest_first(self, op: str) -> LazyRows:
        """Return the candidates of the op, newest first."""
        if op not in self._by_op:
            self._by_op[op] = self._read(op)
        return self._by_op[op]

    def accepted_upstreams(self, edge: Edge, downstream: VersionRow) -> Iterator[VersionRow]:
        """Return the candidates of the edge's upstream op that it accepts for that downstream version, newest first."""
        upstream_op = edge[0]
        links = self._read_links(edge, None, downstream)
        is_accepted: Callable[[VersionRow], bool] = lambda row: self.accepts(edge, row, downstream)  # noqa: E731
        if not links.has_valid_link:
            return filter(is_accepted, self.newest_first(upstream_op)) if self._accept_unknown else iter(())
        if self._edges[edge].has_valid_for_op:
            return filter(is_accepted, self.newest_first(upstream_op))
        if self._ops[upstream_op].compat == "exact":
            self._prefetch(upstream_op, links.all_lines())
        streams = [self._in_line(upstream_op, line) for line in links.lines_for(downstream.number)]
        return filter(is_accepted, merge(*streams, key=lambda row: -row.sequence))

    def accepts(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> bool:
        """Return whether the edge is valid between these two versions (or, with `accept_unknown`, unknown)."""
        links = self._read_links(edge, upstream, downstream)
        if self._accept_unknown and not links.has_valid_link:
            return links.word(upstream.number, downstream.number) != "invalid"
        return links.is_valid(upstream.number, downstream.number)

    def verdict(self, edge: Edge, upstream: VersionRow, downstream: VersionRow) -> Verdict:
        """Return the verdict of the edge between these two versions, with its reason."""
        return self._read_links(edge, upstream, downstream).verdict(upstream.number, downstream.number)

    def _read_links(self, edge: Edge, upstream: VersionRow | None, downstream: VersionRow) -> EdgeLinks:
        upstreams = [] if upstream is None else self._blocks.get(upstream.id, [upstream])
        return self._edges[edge].read(upstreams, self._blocks.get(downstream.id, [downstream]))

    def _in_line(self, op: str, line: Line) -> LazyRows:
        if (op, line) not in self._by_line:
            self._by_line[op, line] = self._read(op, version_rows.with_number_prefix(line))
        return self._by_line[op, line]

    def _prefetch(self, op: str, lines: Iterable[Line]) -> None:
        """Read lines that are whole version numbers, many in a query instead of one."""
        missing = [line for line in lines if (op, line) not in self._by_line]
        for start in range(0, len(missing), version_rows.BLOCK):
            chunk = missing[start : start + version_rows.BLOCK]
            rows = {row.number: row for row in self._read(op, version_rows.with_numbers(chunk))}
            for line in chunk:
                row = rows.get(VersionNumber(*line))
                self._by_line[op, line] = LazyRows(iter([] if row is None else [[row]]))

    def _read(self, op: str, where: Where = version_rows.ALL) -> LazyRows:
        blocks = version_rows.blocks(self._snapshot, self._ops[op].id, self._conditions[op] & where)
        return LazyRows(self._remember(blocks))

    def _remember(self, blocks: Iterator[list[VersionRow]]) -> Iterator[list[VersionRow]]:
        """Yield the blocks with one row object a version, since the search compares candidates by identity."""
        for block in blocks:
            rows = [self._rows.setdefault(row.id, row) for row in block]
            for row in rows:
                self._blocks.setdefault(row.id, rows)
            yield rows

    def _condition(self, op: OpRow, override: Override | None) -> Where:
        if override is None:
            return version_rows.candidates(self._snapshot, op.id)
        if override.kind == "only":
            return version_rows.with_id(override.version.id)
        older = version_rows.older_than(override.version.sequence) if override.kind == "latest" else version_rows.ALL
        return version_rows.either(override.version, version_rows.candidates(self._snapshot, op.id) & older)


class _EdgeReader:
    """Reads the links of one edge, as far as verdicts need them."""

    def __init__(self, snapshot: Snapshot, upstream: OpRow, downstream: OpRow) -> None:
        self._snapshot, self._upstream, self._downstream = snapshot, upstream, downstream
        self._links = EdgeLinks(upstream.name, downstream.name, upstream.compat)
        self._links.add(link_queries.newest_valid(snapshot, upstream, downstream))
        self.has_valid_for_op = link_queries.any_valid_for_op(snapshot, upstream, downstream)
        self._read_upstreams: set[int] = set()
        self._read_downstreams: set[int] = set()

    def read(self, upstreams: Sequence[VersionRow], downstreams: Sequence[VersionRow]) -> EdgeLinks:
        """Return the links of the edge, with all that are in force for these blocks of versions."""
        if downstreams and downstreams[0].id not in self._read_downstreams:
            self._links.add(link_queries.to_versions(self._snapshot, self._upstream, self._downstream, downstreams))
            self._read_downstreams |= {row.id for row in downstreams}
        if upstreams and upstreams[0].id not in self._read_upstreams:
            self._links.add(link_queries.of_versions(self._snapshot, self._upstream, upstreams, self._downstream, []))
            self._read_upstreams |= {row.id for row in upstreams}
        return self._links
