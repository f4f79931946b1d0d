"""ChariotsMixin: the op store client of a chariots application, on top of the store's verbs.

An *op* is a name, or any object with a `name`. A *version* is a string (`MAJOR.MINOR.PATCH` or
`MAJOR.MINOR.PATCH_TIME`), or any object with `major`, `minor` and `patch`. All methods raise `OpStoreError`s.
"""

from abc import abstractmethod
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Protocol

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.records import Compat, VersionRecord
from opstore_daemon.protocol.versions import Place, Version

LEVEL: Compat = "major"  # the compatibility level of ops that are created here: chariots compares major versions


class Pipeline(Protocol):
    """A pipeline of a chariots application."""

    @property
    def name(self) -> str: ...

    def get_all_op_links(self) -> Iterable[tuple[Any, Any]]:
        """Return pairs of a node and the node that receives its data, or None."""


class ChariotsMixin(OpStoreInterface):
    """The seven methods that chariots calls, for a subclass that has the store's verbs."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """The identity of the store: versions of different stores can't be compared."""

    def get_all_versions_of_op(self, op: Any) -> set[Version] | None:
        """Return the stored versions of the op, or the registered ones if none is stored.

        `max` of them is the newest, which the application loads, so yanked versions are skipped.

        Args:
            op: a name, or an object with a `name`.

        Returns:
            set of Version, or None: None if there are none.

        Raises:
            InvalidRequest: the op has no name.

        Examples:
            >>> len(client.get_all_versions_of_op("pca"))
            2
        """
        try:
            found = self.versions(name_of(op)).versions
        except errors.OpNotFound:
            return None
        stored = [record for record in found if record.digest is not None]
        return {self._version(record) for record in stored or found if not record.yanked} or None

    def get_validated_links(self, downstream_op_name: Any, upstream_op_name: Any) -> set[Version] | None:
        """Return the upstream versions with a valid link in force to the latest downstream version, or to any.

        A link to exactly the latest version outranks one to any version.

        Args:
            downstream_op_name: the downstream op: a name, or an object with a `name`.
            upstream_op_name: the upstream op, in the same way.

        Returns:
            set of Version, or None: None only if the two ops were never linked, not even by a link that is invalid or
            was revoked.

        Raises:
            InvalidRequest: an op has no name.

        Examples:
            >>> len(client.get_validated_links("forest", "pca"))
            1
            >>> client.get_validated_links("pca", "forest") is None
            True
        """
        downstream, upstream = name_of(downstream_op_name), name_of(upstream_op_name)
        try:
            links = self.links(upstream=upstream, downstream=downstream)
            if not links and not self.links(upstream=upstream, downstream=downstream, history=True, limit=1):
                return None
            latest = self.op(downstream).latest
        except errors.OpNotFound:
            return None
        deciding = [link for link in links if link.downstream_version is None]
        deciding += [link for link in links if link.downstream_version == latest is not None]
        is_valid = {link.upstream_version: link.valid for link in deciding}  # the last one of a version stays
        found = self.versions(upstream).versions
        return {self._version(record) for record in found if is_valid.get(record.version)}

    def get_op_bytes_for_version(self, op: Any, version: Any) -> bytes:
        """Return the verified bytes of a version.

        Args:
            op: a name, or an object with a `name`.
            version: the text of the subversions, or an object with `major`, `minor` and `patch`.

        Returns:
            bytes: what was stored.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: the version does not exist.
            NotStored: the version has no bytes.

        Examples:
            >>> newest = max(client.get_all_versions_of_op("pca"))
            >>> client.get_op_bytes_for_version("pca", newest)
            b'other components'
        """
        # The underscore: three subversions of decimal digits would be read as a version number.
        return self.pull(f"{name_of(op)}@{Version.of(version)}_")

    def save_op_bytes(self, op: Any, version: Any, op_bytes: bytes) -> None:
        """Store the bytes as a version, which is registered if it does not exist.

        A stored version never changes: other bytes become a new patch version, which `max` finds, with copies of its
        valid links in both directions. Storing the same bytes again changes nothing.

        Args:
            op: a name, or an object with a `name`.
            version: the text of the subversions, or an object with `major`, `minor` and `patch`.
            op_bytes: the bytes.

        Raises:
            InvalidArgument: `op_bytes` are no bytes.
            InvalidSubversions: the version is neither.

        Examples:
            >>> client.save_op_bytes("scaler", "aaaa.bbbb.cccc", b"mean")
        """
        # push() takes a str for a path.
        try:
            data = op_bytes if isinstance(op_bytes, bytes) else bytes(memoryview(op_bytes))
        except TypeError:
            raise _wrong("op_bytes", "bytes", op_bytes) from None
        self.push(name_of(op), data, subversions=Version.of(version).text_with_time, otherwise="patch", new_ops=LEVEL)

    def register_valid_link(self, downstream_op_name: Any, upstream_op_name: Any, upstream_op_version: Any) -> None:
        """Record that the upstream version is valid for any version of the downstream op.

        Ops and versions that do not exist are registered.

        Args:
            downstream_op_name: a name, or an object with a `name`; None registers the version alone.
            upstream_op_name: a name, or an object with a `name`.
            upstream_op_version: the text of the subversions, or an object with `major`, `minor` and `patch`.

        Raises:
            InvalidRequest: an op has no name.
            InvalidSubversions: the version is neither.

        Examples:
            >>> client.register_valid_link("forest", "scaler", "aaaa.bbbb.cccc")
        """
        self.register(
            name_of(upstream_op_name),
            subversions=Version.of(upstream_op_version).text_with_time,
            valid_for=[] if downstream_op_name is None else [f"{name_of(downstream_op_name)}@any"],
            new_ops=LEVEL,
        )

    def pipeline_exists(self, name: str) -> bool:
        """Return whether a pipeline of that name is registered.

        Args:
            name: the name, or an object with a `name`.

        Returns:
            bool: whether it is.

        Raises:
            InvalidRequest: it has no name.

        Examples:
            >>> client.pipeline_exists("iris")
            True
        """
        try:
            self.pipeline(name_of(name))
        except errors.PipelineNotFound:
            return False
        return True

    def register_new_pipeline(self, pipeline: Pipeline) -> None:
        """Register the graph of a pipeline, and its ops that do not exist. It is idempotent.

        Args:
            pipeline: an object with a `name` and a method `get_all_op_links`, which returns pairs of nodes.

        Raises:
            InvalidArgument: it is no such object.
            PipelineConflict: the name has another graph.
            InvalidGraph: the graph has a cycle, or too few ops.

        Examples:
            >>> links = [(SimpleNamespace(name="pca"), SimpleNamespace(name="svm"))]
            >>> client.register_new_pipeline(SimpleNamespace(name="scoring", get_all_op_links=lambda: links))
        """
        if not callable(getattr(pipeline, "get_all_op_links", None)):
            raise _wrong("pipeline", "a pipeline with the method get_all_op_links", pipeline)
        ops: dict[str, None] = {}
        edges: list[tuple[str, str]] = []
        for link in pipeline.get_all_op_links():
            if isinstance(link, str) or len(ends := tuple(link)) != 2:  # a text of two letters is no pair of names
                raise _wrong("pipeline", "a pipeline whose get_all_op_links returns pairs", link)
            pair = [name_of(node) for node in ends if node is not None]
            ops |= dict.fromkeys(pair)
            edges += pairwise(pair)
        self.register_pipeline(name_of(pipeline), list(ops), edges=edges, new_ops=LEVEL)

    def _version(self, record: VersionRecord) -> Version:
        subversions = Version.parse(record.subversions).subversions
        place = Place(self.identity, record.op, record.sequence)
        return Version(*subversions, creation_time=record.note or record.registered_at, place=place)


def _wrong(argument: str, expected: str, value: object) -> errors.InvalidArgument:
    return errors.InvalidArgument(argument=argument, expected=expected, actual=type(value).__name__, advice="")


def name_of(op: Any) -> str:
    """Return `op` if it is a string, else its `name`. Raises InvalidRequest."""
    name = op if isinstance(op, str) else getattr(op, "name", None)
    if not isinstance(name, str):
        raise errors.InvalidRequest(reason=f"{op!r:.200} is not a name, and has no attribute name")
    return name
