"""The verbs that the store and the client share, so that neither can drift from the other.

`op` is a name; a *reference* is `NAME` or `NAME@SELECTOR`. All errors are those of `protocol.errors`.
"""

from collections.abc import Mapping, Sequence
from typing import BinaryIO, Protocol

from opstore_daemon.protocol.records import (
    EXACT,
    Affected,
    BisectionRecord,
    Check,
    Collection,
    Compat,
    Fields,
    FsckReport,
    JournalEntry,
    Level,
    LinkRecord,
    Lock,
    NewBisection,
    NewRun,
    OpRecord,
    Otherwise,
    PipelineRecord,
    Pushed,
    RecordedRun,
    Removal,
    Resolution,
    RunRecord,
    RunResult,
    SetHistory,
    TagRecord,
    Validation,
    VersionDetails,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.records.collections import DEFAULT_GRACE


class OpStoreInterface(Protocol):
    """The verbs of an op store. `as_of` is a journal position or a time (RFC 3339).

    A malformed name raises InvalidName, a malformed reference also InvalidReference or InvalidVersion. A reference that
    selects no version raises OpNotFound, VersionNotFound, VersionRemoved, TagNotFound, TagYanked or AmbiguousReference.
    Other invalid arguments raise InvalidRequest, and a failure of the database or the storage raises Unavailable. The
    methods list their other errors.
    """

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
        filename: str | None = None,
        executable: bool = False,
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Store the bytes as a version of the op, with its links and tags, in one transaction.

        `bump` (default: patch), `fields` and `subversions` are mutually exclusive. Bytes that the latest version
        already has make nothing new, unless `new`. With `otherwise="patch"`, other bytes under declared subversions
        make a new patch version, which gets their valid links both ways; without it they raise VersionConflict. The
        store records `filename`, `executable`, `format` and `libraries` (versions by name) and interprets none of
        them. A new op gets the compatibility level `new_ops` (None: `exact`); if it is set, ops of `valid_for` that do
        not exist are created, too. A link that says that two versions are not valid together is kept: only `link`
        reverses it. Raises NumbersExhausted if the op has no free version number, and SubversionsRemoved for declared
        subversions of a removed version.
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
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Register a version without bytes; exactly one of `fields` and `subversions` is required."""

    def pull(self, reference: str) -> bytes:
        """Return the verified bytes of a version; raise NotStored or BlobDamaged."""

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        """Return the record of one version, as of a past state if `as_of` is given."""

    def versions(
        self,
        op: str,
        *,
        valid_for: Sequence[str] = (),
        label: Sequence[str] = (),
        limit: int | None = None,
        as_of: str | None = None,
    ) -> Versions:
        """Return the versions of the op, newest first; only those valid for every reference in `valid_for`.

        `label`: only those that have all these labels, each `KEY` or `KEY=VALUE`.

        If `op` is a reference, only the versions that its selector admits.
        """

    def yank(self, reference: str, reason: str) -> VersionRecord:
        """Yank the version: only its number, digest, subversions or a lock select it now. No verdict changes."""

    def unyank(self, reference: str) -> VersionRecord:
        """Undo a yank. The reference may select a yanked version, for example by its number."""

    def remove(
        self,
        references: str | Sequence[str],
        *,
        all_versions: bool = False,
        force: bool = False,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> Removal:
        """Remove versions, or ops by their names, in one transaction: they stay in past states only.

        A removed version's number never comes back; its links are revoked, and its bytes are left to the collector. A
        bare name is the op: it may have no version, else it raises OpHasVersions, unless `all_versions` are to be
        removed with it; an op of a pipeline raises OpInPipeline. What is still needed raises StillNeeded, unless
        `force` is given: a valid link between a version and another op, a tag on it, its place in the resolution of a
        pipeline. With `dry_run`, nothing is removed, and nothing is refused because it is needed.
        """

    def edit(
        self,
        reference: str,
        *,
        message: str | None = None,
        labels: Mapping[str, str] | None = None,
        unlabel: Sequence[str] = (),
    ) -> VersionRecord:
        """Change what users wrote about a version: set its message (empty: none), set labels, remove labels.

        At least one of them is required. Raises LabelNotFound for a label in `unlabel` that the version does not have,
        and TooManyLabels.
        """

    def tag(self, references: str | Sequence[str] | Lock, tag: str) -> list[TagRecord]:
        """Move the tag to the version, or to one version of each of several ops or of a lock: all or none.

        Raises InvalidTag, and LockConflict if the store has other bytes for a version of the lock.
        """

    def untag(self, op: str, tag: str) -> None:
        """Remove the tag, but keep the history of its moves; raise OpNotFound or TagNotFound."""

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        """Return the tags in force, of one op if it is given; with `history` every move. Newest first."""

    def ops(self, *, label: Sequence[str] = ()) -> list[OpRecord]:
        """Return all ops, by name; with `label`, those with a version that has all these labels."""

    def op(self, name: str) -> OpRecord:
        """Return one op; raise OpNotFound."""

    def set_op(self, op: str, *, compat: Compat | None = None, description: str | None = None) -> OpRecord:
        """Set the op's compatibility level or description (empty: none), or both; raise OpNotFound.

        A level counts from the journal's next position on.
        """

    def details(self, reference: str, *, as_of: str | None = None) -> VersionDetails:
        """Return a version, where it is the latest, and its verdicts with the latest versions of connected ops."""

    def log(self, name: str | None = None, *, limit: int | None = None) -> list[JournalEntry]:
        """Return the journal, newest first: what changed, when, and at which position.

        `name`: only the entries about the op or the pipeline of that name; raises OpNotFound if there never was one.
        """

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        """Record that this upstream version is (or is known not to be) valid for the downstream version.

        A bare name means the latest version, `NAME@any` (downstream only) any version. Without `evidence`, a link that
        is recorded again keeps the evidence that it has. Raises NoVersionYet if the downstream op has no version.
        """

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        """Revoke the link in force between exactly these, and return it; raise LinkNotFound, which lists the others."""

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
        """Return the links in force, newest first: those of the op, either way, or from `upstream`, or to `downstream`.

        With `history` every entry, including revocations and replaced entries.
        """

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        """Return the verdict for one edge. A bare name means its latest version."""

    def validate_pipeline(
        self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None, exact_set: bool = False
    ) -> Validation:
        """Return the verdict over the latest versions, or those in `use` instead; raise PipelineNotFound.

        With `exact_set`, it is valid only if the newest run of exactly these versions passed, too.
        """

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Lock | None = None,
        upgrade: str | None = None,
        as_of: str | None = None,
        timeout: float | None = None,
    ) -> Resolution:
        """Return the newest versions of the pipeline's ops that are valid together, or why there are none.

        `use`: versions that count as the latest of their ops. With a `lock`, the op `upgrade` of it gets the newest
        version that it can have, and other ops move only if they must. `timeout`: seconds, in addition to the daemon's
        own limit. Raises PipelineNotFound, ResolutionTooHard if a limit is reached, and LockConflict if the store has
        other bytes for a version of the lock.
        """

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Return whether a lock still holds: the same edges, nothing yanked or removed, every edge valid.

        Raises PipelineNotFound, LockConflict if the store has other bytes for a version, and InvalidSubversions or
        InvalidDigest for a malformed lock.
        """

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        """Return the downstream ops, direct and indirect, for which the version is not valid: what to retrain.

        Follows the edges of all pipelines and all links in force, or those of one pipeline. Raises PipelineNotFound.
        """

    def register_pipeline(
        self,
        name: str,
        ops: Sequence[str] = (),
        edges: Sequence[tuple[str, str]] | None = None,
        *,
        new_ops: Compat = EXACT,
    ) -> PipelineRecord:
        """Register a chain of ops or, with `edges`, any acyclic graph; the same graph again changes nothing.

        Ops that do not exist are created, with the compatibility level `new_ops`; `created_ops` names them.
        Raises InvalidGraph, or PipelineConflict if the name has another graph.
        """

    def pipelines(self) -> list[PipelineRecord]:
        """Return all pipelines, by name."""

    def pipeline(self, name: str) -> PipelineRecord:
        """Return one pipeline; raise PipelineNotFound."""

    def remove_pipeline(self, name: str) -> None:
        """Remove the pipeline, but not its ops, versions and links; raise PipelineNotFound."""

    def record_run(self, pipeline: str, new_run: NewRun) -> RecordedRun:
        """Record a run of a command on a set of versions of the pipeline, as an entry of the journal.

        If it passed, each edge of the set gets a valid link between exactly these versions, with the run as evidence.
        A link that is valid already by a run of the same command and script stays as it is, and so does one that says
        that the versions are not valid together: only `link` reverses it. Raises PipelineNotFound, PipelineChanged if
        the pipeline has other ops or edges than the run, and InvalidRequest if the versions are not a set with version
        numbers.
        """

    def runs(
        self,
        pipeline: str | None = None,
        *,
        version: str | None = None,
        set: str | None = None,  # noqa: A002 - the record's word
        result: RunResult | None = None,
        command: Sequence[str] = (),
        script: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return runs, newest first: those of the pipeline, of sets with the version `version` (a reference), ...

        `set` is the digest of a set, `command` the words of a command, `script` the digest of a script. Raises
        PipelineNotFound if there never was such a pipeline, and InvalidDigest.
        """

    def run(self, position: int) -> RunRecord:
        """Return the run at that position of the journal; raise RunNotFound."""

    def run_output(self, position: int) -> str:
        """Return the beginning and the end of what the command of a run printed; raise RunNotFound."""

    def set_history(self, pipeline: str, *, since: str | None = None, until: str | None = None) -> SetHistory:
        """Return how the latest versions of the pipeline's ops changed after `since`, up to `until`, oldest first.

        Both are a journal position or a time (RFC 3339); the defaults are the beginning and now. The ops are those that
        the pipeline has now. Raises PipelineNotFound, and InvalidRequest if `until` is before `since`.
        """

    def record_bisection(self, pipeline: str, new_bisection: NewBisection) -> BisectionRecord:
        """Record which entry of the journal broke the pipeline, as an entry of the journal.

        Raises PipelineNotFound, PipelineChanged if the pipeline was registered again meanwhile, and InvalidRequest if
        the positions are out of order, an entry changed no latest version of the pipeline's ops, the last good or the
        first bad set is not complete, or a run is not one of the pipeline.
        """

    def bisections(self, pipeline: str | None = None, *, limit: int | None = None) -> list[BisectionRecord]:
        """Return bisections, newest first; raise PipelineNotFound if there never was such a pipeline."""

    def collect_garbage(
        self, *, grace: float = DEFAULT_GRACE, purge: bool = False, dry_run: bool = False
    ) -> Collection:
        """Delete what nobody needs any more, beside pushes; return what was freed and what stays.

        Expired uploads and what crashes left are deleted. Blobs that no version refers to are moved to the trash, if
        they were published more than `grace` seconds ago, and deleted for good after a week there; with `purge` the
        trash is emptied now. With `dry_run` nothing changes, and the record says what would. Whatever fails is one of
        the record's `problems`. Raises CollectionHeld if another collection runs or a backup reads the
        blobs, and CollectionRefused if the blobs may belong to another database.
        """

    def fsck(
        self,
        *,
        read_data: bool = False,
        subset: str | None = None,
        rate: int | None = None,
        repair: bool = False,
    ) -> FsckReport:
        """Check the whole store: the database, the journal, the versions, their blobs and the storage.

        What changes meanwhile is no finding. With `read_data` the bytes of all blobs are read and compared with their
        digests, with `subset` those of a part of the blobs (`1/7`: the first of seven), at most `rate` bytes in a
        second. With `repair`, damaged blobs are moved out of the way, and damaged and missing ones are marked, so that
        nobody pulls them; pushing the same bytes again heals them. Raises InvalidRequest and TooManyReads.
        """
