"""The steps of a pipeline as a graph of ops, with an edge wherever data flows from one to another."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from opstore_cli.sklearn.naming import Path
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName

MAX_OPS, MAX_EDGES = 1000, 10_000  # of a pipeline that the store registers


@dataclass(frozen=True, slots=True)
class Flow:
    """What an input depends on: the ops that it comes from, and those `behind` steps that hide what comes before them.

    A version of a step without state says nothing about what comes before it, and a join nothing about its branches.
    So the next step that learns something is linked with all of them: else versions that were never fitted together
    would be valid together.
    """

    ops: frozenset[OpName] = frozenset()
    behind: frozenset[OpName] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is an op. `stateless`: it can be made again from its parameters."""

    path: Path
    op: OpName
    estimator: Any
    stateless: bool


@dataclass(slots=True)
class Graph:
    """The ops in the order of the data, the structure first, and the edges between them."""

    structure: OpName
    steps: list[Step] = field(default_factory=list)
    edges: list[tuple[OpName, OpName]] = field(default_factory=list)

    def add(self, step: Step, inputs: Flow) -> Flow:
        """Add a step, and return what its output depends on. Raises EstimatorRefused if there are too many."""
        upstreams = set(inputs.ops) if step.stateless else inputs.ops | inputs.behind
        if not inputs.ops or step.stateless:
            upstreams |= {self.structure}
        self.edges += [(upstream, step.op) for upstream in self.ops if upstream in upstreams]
        self.steps.append(step)
        if len(self.steps) >= MAX_OPS or len(self.edges) > MAX_EDGES:
            reason = f"it has more than {MAX_OPS - 1} steps, or {MAX_EDGES:,} connections between them"
            advice = "save parts of it as pipelines of their own"
            raise errors.EstimatorRefused(what="the pipeline", reason=reason, advice=advice)
        return Flow(frozenset({step.op}), inputs.ops | inputs.behind if step.stateless else frozenset())

    def join(self, outputs: Iterable[Flow]) -> Flow:
        """Return what joined outputs depend on: also on the structure, which has how they are joined."""
        flows = list(outputs)
        behind = frozenset({self.structure}).union(*(flow.behind for flow in flows))
        return Flow(frozenset().union(*(flow.ops for flow in flows)), behind)

    @property
    def ops(self) -> list[OpName]:
        """The ops in the order of the data."""
        return [self.structure, *(step.op for step in self.steps)]

    def upstreams(self, op: OpName) -> list[OpName]:
        """Return the ops with an edge to this one."""
        return [upstream for upstream, downstream in self.edges if downstream == op]
