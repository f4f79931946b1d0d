"""ChariotsMixin: an op store client as a chariots application calls it, made of the store's verbs.

In all of them an *op* is a name, or any object with a `name`; a *version* is a text (`MAJOR.MINOR.PATCH` or
`MAJOR.MINOR.PATCH_TIME`), or any object with `major`, `minor` and `patch`. All raise `OpStoreError`s.
"""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Protocol

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.versions import Place, Version


class Pipeline(Protocol):
    """A pipeline of a chariots application."""

    @property
    def name(self) -> str: ...

    def get_all_op_links(self) -> Iterable[tuple[Any, Any]]:
        """Each node with the node that takes its data, or with None."""


class ChariotsMixin(OpStoreInterface):
    """The seven verbs, for a subclass that has those of the store."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Which store it is: versions of two stores have no order."""

    def get_all_versions_of_op(self, op: Any) -> set[Version] | None:
        """The versions of the op: the stored ones where any is stored, else the registered ones; None where none is.

        `max` of them is the newest. Yanked ones are left out: an application loads that one.
        """
        try:
            found = self.versions(name_of(op)).versions
        except errors.OpNotFound:
            return None
        stored = [record for record in found if record.digest is not None]
        return {self._version(record) for record in stored or found if not record.yanked} or None

    def get_validated_links(self, downstream_op_name: Any, upstream_op_name: Any) -> set[Version] | None:
        """The upstream versions with a valid link in force to the downstream op, or to a version of it.

        None only where the two were never linked: not validly, not invalidly, and not by a link that was revoked.
        """
        downstream, upstream = name_of(downstream_op_name), name_of(upstream_op_name)
        try:
            links = self.links(upstream=upstream, downstream=downstream)
            if not links and not self.links(upstream=upstream, downstream=downstream, history=True, limit=1):
                return None
        except errors.OpNotFound:
            return None
        valid = {link.upstream_version for link in links if link.valid}
        # Numbers and versions of an op are the same thing, and neither ever changes.
        return {self._version(record) for record in self.versions(upstream).versions if record.version in valid}

    def get_op_bytes_for_version(self, op: Any, version: Any) -> bytes:
        """The verified bytes of that version; raises OpNotFound, VersionNotFound, and NotStored."""
        # With the underscore: a version of decimal digits would be read as a number.
        return self.pull(f"{name_of(op)}@{Version.of(version)}_")

    def save_op_bytes(self, op: Any, version: Any, op_bytes: bytes) -> None:
        """Stores the bytes as that version, which is registered where it is unknown.

        A stored version never changes: other bytes under it make a new patch version, which `max` finds, and for
        which its valid links, both ways, are entered too. The same bytes again make nothing new.
        """
        # A text would be taken for a path.
        data = op_bytes if isinstance(op_bytes, bytes) else bytes(memoryview(op_bytes))
        self.push(name_of(op), data, subversions=Version.of(version).noted, otherwise="patch")

    def register_valid_link(self, downstream_op_name: Any, upstream_op_name: Any, upstream_op_version: Any) -> None:
        """Enters that this upstream version is valid for the downstream op; ops and versions that are unknown come too.

        Without a downstream (None) only the version is registered.
        """
        valid_for = [] if downstream_op_name is None else [name_of(downstream_op_name)]
        self.register(name_of(upstream_op_name), subversions=Version.of(upstream_op_version).noted, valid_for=valid_for)

    def pipeline_exists(self, name: str) -> bool:
        """Whether a pipeline of that name is registered."""
        try:
            self.pipeline(name_of(name))
        except errors.PipelineNotFound:
            return False
        return True

    def register_new_pipeline(self, pipeline: Pipeline) -> None:
        """Registers the graph of the pipeline, and the ops that are unknown; again with the same graph: nothing new.

        Raises PipelineConflict where the name has another graph, and InvalidGraph.
        """
        ops: dict[str, None] = {}
        edges: list[tuple[str, str]] = []
        for upstream, downstream in pipeline.get_all_op_links():
            pair = [name_of(node) for node in (upstream, downstream) if node is not None]
            ops |= dict.fromkeys(pair)
            edges += pairwise(pair)
        self.register_pipeline(name_of(pipeline), list(ops), edges=edges)

    def _version(self, record: VersionRecord) -> Version:
        subversions = Version.parse(record.subversions).subversions
        place = Place(self.identity, record.op, record.sequence)
        return Version(*subversions, creation_time=record.note or record.registered_at, place=place)


def name_of(op: Any) -> str:
    """The name that a text is, or that an object has; raises InvalidRequest."""
    name = op if isinstance(op, str) else getattr(op, "name", None)
    if not isinstance(name, str):
        raise errors.InvalidRequest(reason=f"{op!r:.200} is no name, and has none")
    return name
