"""A small pipelines framework in the manner of chariots: ops with versioned fields, pipelines, and an application.

All that it asks of its store are the verbs of a chariots application: `opstore_cli.OpStoreClient` has them.
"""

import hashlib
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime

from opstore_daemon.protocol import errors

LEVELS = ("major", "minor", "patch")


class VersionError(Exception):
    """An op was not validated on the version of its input."""


class Version:
    """Three hashes of what an op declares. It equals, and hashes like, the versions of a store."""

    def __init__(self, major, minor, patch):
        self.major, self.minor, self.patch = major, minor, patch
        self.creation_time = datetime.now(UTC).replace(tzinfo=None)

    def __eq__(self, other):
        return (self.major, self.minor, self.patch) == (other.major, other.minor, other.patch)

    def __hash__(self):
        return hash((self.major, self.minor, self.patch))

    def __str__(self):
        return f"{self.major}.{self.minor}.{self.patch}_{self.creation_time}"


@dataclass(frozen=True)
class Field:
    """A field of an op whose value is part of its version, at the given level."""

    value: object
    level: str

    def __get__(self, op, kind):
        return self if op is None else self.value


class Op:
    """A step without state: `execute` returns its output for its inputs."""

    state = None

    @property
    def name(self):
        return type(self).__name__.lower()

    @property
    def version(self):
        """Return the hashes of the fields; a fitted op hashes its state into the patch."""
        return Version(*(hashlib.sha1(self._declared(level).encode()).hexdigest() for level in LEVELS))  # noqa: S324

    def _declared(self, level):
        fields = {name: field for kind in type(self).__mro__ for name, field in vars(kind).items()}
        own = [
            (name, field.value) for name, field in fields.items() if isinstance(field, Field) and field.level == level
        ]
        return repr(sorted(own))

    def execute(self, *inputs):
        raise NotImplementedError


class LearningOp(Op):
    """A step with a state that `fit` learns, stored as bytes. A loaded op has the version of its state."""

    loaded = None

    @property
    def version(self):
        return self.loaded or super().version

    def _declared(self, level):
        learned = self.serialize().hex() if level == "patch" and self.state is not None else ""
        return super()._declared(level) + learned

    def learn(self, *inputs):
        """Learn the state again."""
        self.loaded, self.state = None, self.fit(*inputs)

    def fit(self, *inputs):
        raise NotImplementedError

    def serialize(self):
        return pickle.dumps(self.state)

    def load(self, version, data):
        self.state, self.loaded = pickle.loads(data), version  # noqa: S301 - this application saved it


@dataclass(eq=False)
class Node:
    """An op in a pipeline: whose output it takes, and whether it is fitted there."""

    op: Op
    inputs: tuple = ()
    learns: bool = False

    @property
    def name(self):
        return self.op.name


class Pipeline:
    """Nodes, each after those whose output it takes."""

    def __init__(self, name, *nodes):
        self.name, self.nodes = name, nodes

    def get_all_op_links(self):
        """Yield each node with each node that takes its output, or with None if there is none."""
        for node in self.nodes:
            takers = [other for other in self.nodes if node in other.inputs]
            yield from ((node, other) for other in takers or [None])

    def run(self, data):
        """Return the output of the last node; a node without inputs takes the data."""
        outputs = {}
        for node in self.nodes:
            inputs = [outputs[before] for before in node.inputs] or [data]
            if node.learns:
                node.op.learn(*inputs)
            outputs[node] = node.op.execute(*inputs)
        return outputs[self.nodes[-1]]


class Application:
    """Pipelines on a store."""

    def __init__(self, store, *pipelines):
        self.store = store
        for pipeline in pipelines:
            if not store.pipeline_exists(pipeline.name):
                store.register_new_pipeline(pipeline)
                self.save(pipeline)

    def save(self, pipeline):
        """Register the versions as valid for the ops after them, and save the states."""
        for node, downstream in pipeline.get_all_op_links():
            version = node.op.version
            self.store.register_valid_link(downstream and downstream.name, node.name, version)
            if node.op.state is not None:
                self.store.save_op_bytes(node.op, version, node.op.serialize())

    def load(self, pipeline):
        """Load the newest states; raises VersionError if an op was not validated on the version of its input."""
        for node in pipeline.nodes:
            if isinstance(node.op, LearningOp):
                self._load(node.op)
        for node, downstream in pipeline.get_all_op_links():
            valid = downstream and self.store.get_validated_links(downstream.name, node.name)
            if valid is not None and node.op.version.major not in {version.major for version in valid}:
                raise VersionError(f"{downstream.name} was not validated on this major version of {node.name}")

    def _load(self, op):
        versions = self.store.get_all_versions_of_op(op)
        if versions is None or op.version.major not in {version.major for version in versions}:
            raise VersionError(f"no version of {op.name} declares what this code declares: train it")
        newest = max(versions)
        try:
            op.load(newest, self.store.get_op_bytes_for_version(op, newest))
        except errors.NotStored:
            raise VersionError(f"{op.name} was never trained") from None
