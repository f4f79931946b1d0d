"""The verbs that the store and the client share, so that one cannot drift from the other.

`op` is a name; a *reference* is `NAME` or `NAME@SELECTOR`. All raise the errors of `protocol.errors`.
"""

from collections.abc import Mapping, Sequence
from typing import BinaryIO, Protocol

from opstore_daemon.protocol.records import (
    Affected,
    Check,
    Compat,
    Fields,
    Level,
    LinkRecord,
    Lock,
    OpRecord,
    Otherwise,
    PipelineRecord,
    Pushed,
    Resolution,
    TagRecord,
    Validation,
    VersionRecord,
    Versions,
)


class OpStoreInterface(Protocol):
    """What can be asked of an op store (CONTRACT sections 3 to 5)."""

    def push(
        self,
        op: str,
        source: bytes | BinaryIO,
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        subversions: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Stores the bytes as a version of the op, with its links, in one transaction.

        `bump` (default: patch), `fields` and `subversions` exclude each other. Bytes that the latest version has
        already make nothing new, unless `new`. With `otherwise="patch"`, bytes other than those that are stored of
        declared subversions make a new patch version of these, for which their valid links, both ways, are entered
        too; without it they are refused. `format` and `libraries` (versions by name) say what the bytes are;
        the store keeps them and reads neither.
        """

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        subversions: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        """Registers a version without bytes; exactly one of `fields` and `subversions` is needed."""

    def pull(self, reference: str) -> bytes:
        """The verified bytes of a version."""

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        """All that is known of one version.

        `as_of`, here and elsewhere: the answer as it was at a position of the journal, or at a time (RFC 3339).
        """

    def versions(
        self, op: str, *, valid_for: Sequence[str] = (), limit: int | None = None, as_of: str | None = None
    ) -> Versions:
        """The versions of the op, newest first; only those that are valid for every reference in `valid_for`.

        `op` may be a reference: then only what its selector admits.
        """

    def yank(self, reference: str, reason: str) -> VersionRecord:
        """Yanks the version: from now on only its number, digest, subversions or a lock pick it. No verdict changes."""

    def unyank(self, reference: str) -> VersionRecord:
        """Ends that; the reference picks a yanked version, by its number say."""

    def tag(self, references: str | Sequence[str], tag: str) -> list[TagRecord]:
        """Puts the tag on the version, or on one version of each of several ops: on all of them, or none."""

    def untag(self, op: str, tag: str) -> None:
        """Takes the tag away; its moves are kept."""

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        """The tags in force, of one op where it is given; with `history` every move. Newest first."""

    def ops(self) -> list[OpRecord]:
        """All ops, by name."""

    def op(self, name: str) -> OpRecord:
        """One op."""

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        """Sets the op's compatibility level, from the journal's next position on."""

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        """Enters that this upstream version is (or is known not to be) valid for the downstream op.

        A bare downstream is the op, whatever its version, and is created where it is unknown.
        """

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        """Revokes the link in force between exactly these; returns what was revoked."""

    def links(
        self,
        op: str | None = None,
        *,
        upstream: str | None = None,
        downstream: str | None = None,
        history: bool = False,
        limit: int | None = None,
        as_of: str | None = None,
    ) -> list[LinkRecord]:
        """The links in force, newest first; only those of the op, either way, or from `upstream`, or to `downstream`.

        With `history` all entries that ever were: revocations too, and what another entry took the place of.
        """

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        """The verdict for one edge. A bare name is its latest version."""

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None) -> Validation:
        """The verdict over all edges of the latest versions, with those in `use` as if they were the latest."""

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Sequence[str] = (),
        upgrade: str | None = None,
        as_of: str | None = None,
    ) -> Resolution:
        """The newest versions of the pipeline's ops that are valid with one another, or why there are none.

        `use` are versions that count as the latest of their ops. With `lock`, the versions that are locked, the op
        `upgrade` gets the newest version that it can have, and of the others only those move that must.
        """

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Whether a lock still holds: the same edges, nothing yanked or gone, every edge valid."""

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        """The downstream ops, direct and further, for which the version is not valid: what has to be retrained.

        By all pipelines and all links in force, or within one pipeline.
        """

    def register_pipeline(
        self, name: str, ops: Sequence[str] = (), edges: Sequence[tuple[str, str]] | None = None
    ) -> PipelineRecord:
        """Registers a chain of ops or, with `edges`, any acyclic graph; again with the same graph: nothing new."""

    def pipelines(self) -> list[PipelineRecord]:
        """All pipelines, by name."""

    def pipeline(self, name: str) -> PipelineRecord:
        """One pipeline."""

    def remove_pipeline(self, name: str) -> None:
        """Removes the pipeline; its ops, versions and links stay."""
