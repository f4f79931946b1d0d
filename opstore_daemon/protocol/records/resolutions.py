"""Resolutions of pipelines, and their locks."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import base
from opstore_daemon.protocol.records.base import Record, References, Request, Size, VerdictWord, WithVerdict
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.records.verdicts import EdgeVerdict, OpVersion
from opstore_daemon.protocol.records.versions import SkippedVersion, VersionRecord

# Text, because Python programs make locks of the records of a resolution: `check_lock` parses it.
NameText = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": OpName.PATTERN})]
DigestText = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": Digest.PATTERN})]


class Resolution(WithVerdict, Rows, Record, frozen=True, kw_only=True):
    """The newest versions of a pipeline's ops that are valid together, one of each, in the order of the data.

    It is a sequence of these `VersionRecord`s.

    If there is no such set, `versions` is empty, `verdict` is `unknown` if only links are missing, else `invalid`, and
    `conflict` has a smallest set of edges that can't all be valid, each with the newest versions and the reason.
    `explained` is False if the budget ended before the explanation: then `skipped` may lack versions, or `conflict` is
    empty.
    """

    ROWS = "versions"

    pipeline: base.NameText
    verdict: VerdictWord
    versions: tuple[VersionRecord, ...]
    edges: tuple[tuple[base.NameText, base.NameText], ...]
    skipped: tuple[SkippedVersion, ...]
    conflict: tuple[EdgeVerdict, ...] = ()
    explained: bool = True
    picked_yanked: Picked = ()
    position: base.Position

    def _summary(self) -> str:
        """Return the pipeline, the verdict and the versions."""
        words = [
            self.pipeline,
            self.verdict,
            " ".join(map(str, self.versions)) or counted(len(self.conflict), "conflicts"),
        ]
        return ", ".join([*words, f"{len(self.skipped)} skipped"] if self.skipped else words)

    def lock(self) -> "Lock":
        """Return the lock that pins these versions."""
        versions = (
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size)
            for each in self.versions
        )
        return Lock(edges=self.edges, versions=tuple(versions))


class LockedVersion(Request, frozen=True, kw_only=True):
    """A version in a lock: `subversions` are its three hashes; `digest` and `size` are None if it pins no bytes."""

    op: NameText
    subversions: Annotated[str, Meta(max_length=512)]
    digest: DigestText | None = None
    size: Size | None = None


class Lock(Request, frozen=True, kw_only=True):
    """The content of a lock: one version of each op of a pipeline, and its edges."""

    ROWS = "versions"

    def _summary(self) -> str:
        """Return the ops that it locks."""
        return f"of {counted(len(self.versions), 'versions')}: {' '.join(each.op for each in self.versions)}"

    edges: Annotated[tuple[tuple[NameText, NameText], ...], Meta(max_length=10000)]
    versions: Annotated[tuple[LockedVersion, ...], Meta(max_length=1000)]


class Upgrade(Request, frozen=True, kw_only=True):
    """A lock, the op of it to upgrade, and the versions that count as the latest of their ops."""

    lock: Lock
    op: OpName
    use: References = ()


class Check(Record, frozen=True, kw_only=True):
    """Whether a lock still holds: the same edges, nothing yanked or removed, every edge valid.

    `versions` are those that the lock selects, with the version numbers of this store.
    """

    pipeline: base.NameText
    holds: bool
    findings: tuple[base.Sentence, ...]
    versions: tuple[OpVersion, ...] = ()
    position: base.Position

    NOT_IN_TABLES = frozenset({"position"})

    def _summary(self) -> str:
        """Return whether the lock holds and, if not, why."""
        return (
            f"{self.pipeline}, holds" if self.holds else f"{self.pipeline}, does not hold: {'; '.join(self.findings)}"
        )

    def __bool__(self) -> bool:
        """Return whether the lock holds, so that `if client.check_lock(...)` is a gate."""
        return self.holds
