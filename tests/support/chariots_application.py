"""A fake chariots application that calls its store in the same order and with the same objects as a real one.

Its versions are hashes of fields in hex (SHA-1) with a time of the application's clock, by which they are ordered.
"""

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from opstore_cli import BaseOpStoreClient

_clock = datetime.fromisoformat("2020-03-01 12:00:00")  # without a time zone, as in chariots


class ForeignVersion:
    """A version of chariots, except that its hash is that of the three subversions."""

    def __init__(self, major: str = "", minor: str = "", patch: str = "", at: datetime | None = None) -> None:
        global _clock
        _clock += timedelta(seconds=1.5)
        self.major, self.minor, self.patch = (hashlib.sha1(text.encode()).hexdigest() for text in (major, minor, patch))  # noqa: S324
        self.creation_time = at or _clock

    def __eq__(self, other: Any) -> bool:
        return bool(self.major == other.major and self.minor == other.minor and self.patch == other.patch)

    def __gt__(self, other: Any) -> bool:
        return bool(self != other and self.creation_time > other.creation_time)

    def __hash__(self) -> int:
        return hash((self.major, self.minor, self.patch))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}_{self.creation_time}"


class AsChariotsHashes(ForeignVersion):
    """A version with the hash of chariots' own class: that of the text, including the time."""

    def __eq__(self, other: Any) -> bool:
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash(str(self))


class VersionError(Exception):
    """An op was not validated on the version of its input."""


@dataclass(eq=False)
class Op:
    """An op; `state` is None if it is stateless."""

    name: str
    version: ForeignVersion = field(default_factory=ForeignVersion)
    state: Any = None

    @property
    def is_loadable(self) -> bool:
        return self.state is not None


@dataclass(eq=False)
class Node:
    """An op's place in a pipeline."""

    op: Op
    inputs: Sequence["Node"] = ()

    @property
    def name(self) -> str:
        return self.op.name


@dataclass(eq=False)
class Pipeline:
    """Nodes, upstream first."""

    name: str
    nodes: Sequence[Node]

    def downstream_of(self, node: Node) -> Node | None:
        return next((other for other in self.nodes if node in other.inputs), None)

    def get_all_op_links(self) -> list[tuple[Node, Node | None]]:
        return [(node, self.downstream_of(node)) for node in self.nodes]


class Application:
    """Pipelines on a store."""

    def __init__(self, store: BaseOpStoreClient, pipelines: Sequence[Pipeline]) -> None:
        self.store, self.pipelines = store, pipelines

    def start(self) -> None:
        """Register and save the pipelines that the store does not have."""
        for pipeline in self.pipelines:
            for node in pipeline.nodes:
                self.store.get_all_versions_of_op(node.op)
            if not self.store.pipeline_exists(pipeline.name):
                self.store.register_new_pipeline(pipeline)
                self.save(pipeline)

    def save(self, pipeline: Pipeline) -> None:
        """Register all versions with their links, and save the state of ops that have one."""
        for node, downstream in pipeline.get_all_op_links():
            name = None if downstream is None else downstream.name
            self.store.register_valid_link(
                downstream_op_name=name, upstream_op_name=node.name, upstream_op_version=node.op.version
            )
            if node.op.is_loadable:
                self.store.save_op_bytes(node.op, node.op.version, op_bytes=pickle.dumps(node.op.state))

    def load(self, pipeline: Pipeline) -> None:
        """Load the newest state of all ops; raise VersionError if one is not validated for the next."""
        for node in pipeline.nodes:
            if node.op.is_loadable:
                self._load(node.op)
            downstream = pipeline.downstream_of(node)
            if downstream is not None:
                self._check(node, downstream)

    def _load(self, op: Op) -> None:
        versions = self.store.get_all_versions_of_op(op)
        if versions is None or op.version.major not in {version.major for version in versions}:
            return
        newest = max(versions)
        op.state = pickle.loads(self.store.get_op_bytes_for_version(op, newest))  # noqa: S301 - its own
        op.version = newest  # type: ignore[assignment]

    def _check(self, node: Node, downstream: Node) -> None:
        links = self.store.get_validated_links(downstream.name, node.name)
        if links is not None and node.op.version.major not in {version.major for version in links}:
            raise VersionError(f"no validated link from {node.name} to {downstream.name}")


def chain(name: str, *ops: Op) -> Pipeline:
    """Return a pipeline in which each op reads the output of the one before it."""
    return Pipeline(name, list(_chained(ops)))


def _chained(ops: Sequence[Op]) -> Iterator[Node]:
    before: tuple[Node, ...] = ()
    for op in ops:
        node = Node(op, before)
        yield node
        before = (node,)
