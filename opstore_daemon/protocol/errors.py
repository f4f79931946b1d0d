"""The one family of errors, the same class on both sides of the wire.

    OpStoreError
    ├── Refused              exit 2    InvalidName  InvalidVersion  InvalidSubversions  InvalidReference  InvalidDigest
    │                                  InvalidTag  InvalidRequest  InvalidGraph  InvalidSetting  AmbiguousReference
    │                                  InvalidArgument
    │                                  FileRefused  CommandFailed  CommandNotStarted  FolderRefused
    │                                  OldStoreUnreadable  RegistryUnreadable  ImportIncomplete
    │                                  AmbiguousFraming  LengthRequired  TooLarge  HeadersTooLarge  UnsupportedContent
    │                                  MethodNotAllowed  RangeNotSatisfiable  FormatNeeded  UnknownFormat
    │                                  ObjectRefused  NotLoaded  InvalidLabel  TooManyLabels  EstimatorRefused
    │                                  PathRefused  PathIsFolder  BisectionRefused  BackupRefused  MigrationRefused
    ├── AnswerIsNo           exit 1    NothingValid  LockStale  NotBroken  (exit 3: NothingKnown  BadEndUntested)
    │                                  NoResolution: NoSet  (exit 3: NoSetKnown)
    ├── NotFound             exit 4    OpNotFound  VersionNotFound  VersionRemoved  NoVersionYet  NotStored
    │                                  PipelineNotFound
    │                                  LinkNotFound  UploadNotFound  TagNotFound  TagYanked  RouteNotFound
    │                                  TokenNotFound  BlobNotFound  LabelNotFound  LogNotFound  RunNotFound
    │                                  PipelineNotSaved  PathNotFound  StoreNotFound  BackupNotFound
    ├── Conflict             exit 5    VersionConflict  BytesYanked  PipelineConflict  OffsetMismatch  UploadIncomplete
    │                                  UploadNotOpen  KeyReused  OutputExists  HomeLocked  StoreInUse
    │                                  NumbersExhausted  FormatConflict  LockConflict  StopUnavailable
    │                                  PipelineChanged  OpInUse  PathExists  CollectionHeld  CollectionRefused
    │                                  SubversionsRemoved  StillNeeded  OpHasVersions  OpInPipeline
    │                                  BackupInUse  BackupOfOtherStore  BackupDiverged  HomeNotEmpty
    │                                  TargetNotEmpty  SourceChanged  PartNotStored
    ├── IntegrityFailure     exit 6    DigestMismatch  SizeMismatch  ChecksumMismatch  BlobDamaged
    │                                  UnexpectedResponse  BackupDamaged  BackupIncomplete
    │                                  MigrationIncomplete  MigrationDiffers
    ├── Unreachable          exit 7    DaemonUnreachable  DaemonNotRunning  LocalDaemonUnreachable  DaemonDidNotStart
    │                                  ConnectionLost  TlsFailed  TlsRequired
    ├── NotAuthorised        exit 8    TokenRequired  SessionRequired  ScopeRequired  ForeignHost  ForeignOrigin
    │                                  UntrustedUrl  UntrustedHome  PlainHttp  ProofFailed  TokenUnavailable
    │                                  ListenRefused  LoadingRunsCode  UntrustedTypes
    ├── Unavailable          exit 9    StorageFull  StorageFailed  DatabaseFailed  OutcomeUnknown  SchemaTooNew
    │                                  DatabaseLost  DatabaseDamaged  DatabaseReplaced  BlobsLost  StoreMismatch
    │                                  StoreIdDamaged  ObjectStoreFailed
    │                                  NotReady  OutputFailed  LibraryMissing  ProgramReplaced  BackupFolderFailed
    │                                  BackupKilled  BackupTooNew  RestoreUnfinished  CollectionIncomplete
    │                                  MigrationUnfinished  NotVerified
    ├── BudgetExceeded       exit 10   ResolutionTooHard  TooMuchWork  TooManySearches  TooManyReads
    │                                  QuotaExceeded
    └── InternalError        exit 70

A leaf says three things in words: what failed and why (`message`), and the command to run next (`hint`).
Its class name is the word on the wire, its keyword arguments travel as `details`, and its HTTP status and
exit code come from its family unless it says otherwise. Nothing else translates errors.
"""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

__all__ = [
    "OpStoreError",
    "advised",
    "all_errors",
    "did_you_mean",
    "from_wire",
    "reason",
    "translated",
    "translated_writes",
]


_COMMAND = re.compile(r"\bopstore [a-z]")


class OpStoreError(Exception):
    """The base of all errors. `details` holds JSON values only."""

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70
    message: ClassVar[str] = "{reason}"
    hint: ClassVar[str] = ""
    past: ClassVar[str] = ""  # the message about a past state; `as_of` is the time or position
    python: str | None = None  # the hint in a Python program; None: `hint` fits there as well
    retry_after: ClassVar[int] = 1  # seconds, if the status is 503
    _noted: Sequence[str] = ()  # the notes in the traceback that are ours

    def __init__(self, **details: Any) -> None:
        self.details = details
        self.text = self.message.format(**details)
        self.advice = self.hint.format(**details)
        super().__init__(self.text)

    def at(self, as_of: str, shown: str) -> Self:
        """Return this error about the state as of `as_of`, whose form in messages is `shown`."""
        self.details["as_of"] = as_of
        if self.past:
            return self.with_text(self.past.format(**{**self.details, "as_of": shown}))
        return self

    def with_text(self, text: str) -> Self:
        """Return this error with another text."""
        self.text, self.args = text, (text,)
        return self

    def in_python(self, called: str) -> str:
        """Return the advice for a program that called `called`, such as `client.pull()`; empty if there is none."""
        if "similar" in self.details:
            return self.advice
        if self.python is None:
            return f"in a shell: {self.advice}" if _COMMAND.search(self.advice) else self.advice
        try:
            return self.python.format(**{**self.details, "called": called})
        except (LookupError, ValueError):  # another version of the daemon has other details
            return ""

    def set_notes(self, lines: Sequence[str]) -> None:
        """Put our notes into the traceback, in place of those that an inner call put there."""
        others = [note for note in getattr(self, "__notes__", []) if note not in self._noted]
        self._noted = lines
        self.__notes__ = [*others, *lines]

    @property
    def code(self) -> str:
        """The error's name on the wire."""
        return type(self).__name__

    @classmethod
    def restored(cls, text: str, advice: str, details: dict[str, Any]) -> Self:
        """Return an error that another process raised, in its words even if our template differs."""
        error = cls.__new__(cls)
        Exception.__init__(error, text)
        error.details, error.text, error.advice = details, text, advice
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # Its own advice too: a pool of processes raises it again in a program, whose traceback shall end with that.
        state = {name: value for name, value in vars(self).items() if name in ("__notes__", "_noted", "python")}
        return type(self).restored, (self.text, self.advice, self.details), state


class Refused(OpStoreError):
    """Wrong usage, or input that was refused."""

    status, exit_code = 400, 2


class InvalidName(Refused):
    message = "{name!r} is not a name: {rule}"
    hint = "{suggestion}"


class InvalidVersion(Refused):
    message = "{text!r} is not a version: {rule}"


class InvalidSubversions(Refused):
    message = "{text!r} are not subversions: {rule}"


class InvalidReference(Refused):
    message = "{reference!r} is not a reference: {rule}"
    hint = "a reference is NAME, NAME@1.2.3, NAME@1.2, NAME@sha256:HEX or NAME@'>=1.2,<2'"
    python = "a reference is 'NAME', 'NAME@1.2.3', 'NAME@1.2', 'NAME@sha256:HEX' or 'NAME@>=1.2,<2'"


class InvalidDigest(Refused):
    message = "{text!r} is not a digest: it is 'sha256:' and 64 lower-case hex digits"


class InvalidTag(Refused):
    message = "{tag!r} can't be a tag: it looks like a version number or another selector"
    hint = "use a tag such as v{tag}"


class InvalidLabel(Refused):
    message = "{label!r} is not a label: write KEY or KEY=VALUE"


class InvalidRequest(Refused):
    message = "invalid request: {reason}"


class InvalidGraph(Refused):
    message = "invalid pipeline: {reason}"


class InvalidArgument(Refused, TypeError):
    """Raised by the Python client only: no daemon responds with it."""

    message = "{argument} must be {expected}, not {actual}"
    hint = "{advice}"


class InvalidSetting(Refused):
    message = "{setting}: {reason}"


class AmbiguousReference(Refused):
    message = "{reference} is ambiguous: it could be {candidates}"
    hint = "give more digits, or the version number"


class FileRefused(Refused):
    message = "{path}: {reason}"


class CommandFailed(Refused):
    message = "nothing was stored: the command {command} failed: {reason}"


class CommandNotStarted(Refused):
    message = "the command {command} can't be started: {reason}"


class BisectionRefused(Refused):
    """The ends of a bisection have no entry between them that could have broken the pipeline."""

    message = "can't bisect {pipeline}: {reason}"
    hint = "{advice}"


class BackupRefused(Refused):
    message = "{reason}; nothing was written"
    hint = "{advice}"


class MigrationRefused(Refused):
    message = "nothing was moved: {reason}"
    hint = "{advice}"


class FolderRefused(Refused):
    message = "{op}@{version} can't be unpacked: {reason}"
    hint = "to get its bytes as they are: opstore pull {op}@{version} -o -"
    python = "client.pull('{op}@{version}') returns its bytes, as they are"


class OldStoreUnreadable(Refused):
    message = "the old op store can't be read: {reason}"


class RegistryUnreadable(Refused):
    message = "the MLflow registry can't be read: {reason}"
    hint = "check --uri; MLflow takes credentials from variables such as MLFLOW_TRACKING_TOKEN"
    python = "MLflow takes credentials from variables such as MLFLOW_TRACKING_TOKEN"


class ImportIncomplete(Refused):
    message = "the import is incomplete: {count} skipped, everything else was imported"
    hint = "repair them and run the command again: nothing is imported twice"
    python = "repair them and import them again: nothing is imported twice"


class AmbiguousFraming(Refused):
    message = "the request's framing is ambiguous: {reason}"


class LengthRequired(Refused):
    status = 411
    message = "the request needs a Content-Length"


class TooLarge(Refused):
    status = 413
    message = "{what} is too large: {size} bytes; the limit is {limit}"


class HeadersTooLarge(Refused):
    status = 431
    message = "the request's headers are too large: the limit is {limit} bytes"


class UnsupportedContent(Refused):
    status = 415
    message = "unsupported content: {reason}"


class MethodNotAllowed(Refused):
    status = 405
    message = "{method} is not a method of {path}"


class TooManyLabels(Refused):
    message = "{op}@{version} would have {number} labels; a version can have {limit}"
    hint = "opstore edit {op}@{version} --unlabel KEY"
    python = "client.edit('{op}@{version}', unlabel=['KEY']) removes a label"


class RangeNotSatisfiable(Refused):
    status = 416
    message = "the range {range} does not lie within {size} bytes"


class FormatNeeded(Refused):
    message = "{what} needs a format: {reason}"
    hint = "give format=..., one of {formats}"
    python = "pass format=..., one of {formats}"


class UnknownFormat(Refused):
    message = "{format!r} is not an object format; choose one of {formats}"
    hint = "client.pull() returns the bytes of a version in any format"


class ObjectRefused(Refused):
    message = "an object of the type {type} can't be saved as {format}: {reason}"
    hint = "give another format=..., one of {formats}"
    python = "pass another format=..., one of {formats}"


class NotLoaded(Refused):
    message = "{op}@{version} can't be loaded as {format}: {reason}"
    hint = "opstore show {op}@{version} names the format and the libraries that it was saved with"
    python = "client.show('{op}@{version}') has the format and the libraries that it was saved with"


class EstimatorRefused(Refused):
    """Raised by the Python client only: no daemon responds with it."""

    message = "{what} can't be saved: {reason}"
    hint = "{advice}"


class PathRefused(Refused, PermissionError):
    """Raised by the file system `opstore://` only."""

    message = "opstore://{path}: {reason}"
    hint = "{advice}"


class PathIsFolder(Refused, IsADirectoryError):
    """Raised by the file system `opstore://` only."""

    message = "opstore://{path} is a folder"
    hint = "open a file in it, such as opstore://{path}/{file}"


class AnswerIsNo(OpStoreError):
    """The answer to the question is no."""

    status, exit_code = 409, 1


class NothingValid(AnswerIsNo):
    message = "no version of {op} is valid for {downstream}"
    past = "no version of {op} was valid for {downstream} at {as_of}"
    hint = "opstore links {op}"
    python = "client.links('{op}') lists the links in force"


class NothingKnown(AnswerIsNo):
    exit_code = 3
    message = "no version of {op} was ever validated for {downstream}"
    past = "no version of {op} had been validated for {downstream} at {as_of}"
    hint = "when one is validated: opstore link {op}@VERSION DOWN@VERSION"
    python = "when one is validated: client.link('{op}@VERSION', 'DOWN@VERSION')"


class NoResolution(AnswerIsNo):
    """A pipeline has no set of versions that is valid on every edge. `resolution` says why."""

    message = "no set of versions of {pipeline} is valid on every edge"
    past = "no set of versions of {pipeline} was valid on every edge at {as_of}"
    hint = "opstore validate {pipeline}"
    python = "client.validate_pipeline('{pipeline}') has the verdict of each edge; link() the versions that are valid"
    resolution: Any = None  # the `records.Resolution`, set by the client

    def __reduce__(self) -> tuple[Any, ...]:
        made, arguments, state = super().__reduce__()
        return made, arguments, {**state, "resolution": self.resolution}


class NoSet(NoResolution):
    message = "no set of versions of {pipeline} is valid on every edge"


class NoSetKnown(NoResolution):
    exit_code = 3
    message = "can't resolve {pipeline}: some edges have never been validated"
    past = "can't resolve {pipeline}: some edges had not been validated at {as_of}"


class NotBroken(AnswerIsNo):
    """The set at the bad end of a bisection passed."""

    message = "there is nothing to find: {pipeline} passed at the bad end, position {position} (run {run})"
    hint = "--bad takes a position or a time at which the command fails"
    python = "pass bad=..., a position or a time at which it fails"


class BadEndUntested(AnswerIsNo):
    """The set at the bad end of a bisection can't be tested."""

    exit_code = 3
    message = "can't tell whether {pipeline} is broken at the bad end, position {position}: {reason}"
    hint = "--bad takes a position or a time at which the command can tell, and --rerun ignores earlier results"
    python = "pass bad=..., a position or a time at which it can tell, or rerun=True to ignore earlier results"


class LockStale(AnswerIsNo):
    message = "the lock {path} is out of date"
    hint = "opstore resolve {pipeline} --lock {path}"
    python = "client.resolve('{pipeline}').lock() is a new one"


class NotFound(OpStoreError):
    """What was asked for does not exist."""

    status, exit_code = 404, 4

    def with_suggestions(self, similar: Sequence[str]) -> Self:
        """Return this error with advice that names the `similar` things; unchanged if there are none."""
        if similar:
            self.details["similar"] = list(similar)
            self.advice = did_you_mean(similar)
        return self

    def of_other_kind(self, **details: Any) -> Self:
        """Return this error with details of something else of that name, and the advice for it."""
        self.details.update(details)
        self.advice = self.about_other_kind() or self.advice
        return self

    def about_other_kind(self) -> str:
        """Return the advice if the name is that of something else; empty if it is not."""
        return ""

    def in_python(self, called: str) -> str:
        if self.advice and self.advice == self.about_other_kind():
            return self.advice.partition(": opstore ")[0]
        return super().in_python(called)


class OpNotFound(NotFound):
    """Its detail `is_pipeline` is True if there is a pipeline of that name.

    If the op was removed, the detail `removed` says when, by whom and why, in words.
    """

    message = "there is no op {op}"
    past = "there was no op {op} at {as_of}"
    hint = "opstore ops"
    python = "client.ops() lists the ops"

    def about_other_kind(self) -> str:
        name = self.details.get("op")
        if "removed" in self.details:
            return f"what happened to it: opstore log {name}"
        return f"{name} is a pipeline: opstore pipeline show {name}" if self.details.get("is_pipeline") is True else ""

    @classmethod
    def of_removed(cls, op: str, how: str) -> Self:
        """Return the error for an op that was removed; `how` says when, by whom and why."""
        return cls(op=op).of_other_kind(removed=how).with_text(f"there is no op {op}: it was removed {how}")

    def in_python(self, called: str) -> str:
        if "removed" in self.details:
            return f"client.log('{self.details.get('op')}') has what happened to it"
        return super().in_python(called)


class VersionNotFound(NotFound):
    message = "no version of {op} matches {selector}"
    past = "no version of {op} matched {selector} at {as_of}"
    hint = "opstore versions {op}"
    python = "client.versions('{op}') lists the versions"

    @classmethod
    def without_latest(cls, op: str, *, all_yanked: bool, all_removed: bool = False) -> Self:
        """Return the error for an op that has no latest version: all that it has are yanked, or all were removed."""
        error = cls(op=op, selector="latest", all_yanked=all_yanked, all_removed=all_removed)
        if all_removed:
            return error.with_text(f"every version of {op} was removed")
        return error.with_text(f"every version of {op} is yanked" if all_yanked else f"{op} has no version yet")

    def at(self, as_of: str, shown: str) -> Self:
        error = super().at(as_of, shown)
        if "all_yanked" not in self.details:
            return error
        op = self.details["op"]
        if self.details.get("all_removed"):
            return error.with_text(f"every version of {op} had been removed at {shown}")
        text = f"every version of {op} was yanked" if self.details["all_yanked"] else f"{op} had no version"
        return error.with_text(f"{text} at {shown}")


class VersionRemoved(NotFound):
    """Its details say when, by whom (null: nobody was named) and why (null: no reason) the version was removed.

    `how` has all that in words; `before` is the last position at which the version was there.
    """

    message = "{op}@{version} was removed {how}"
    past = "{op}@{version} had been removed at {as_of}: {how}"
    hint = "what it was: opstore show {op}@{version} --as-of {before}"
    python = "client.show('{op}@{version}', as_of={before}) is what it was"


class NoVersionYet(NotFound):
    message = "a link needs a version, and {op} has none yet"
    hint = "to link any version of it: {op}@any"


class NotStored(NotFound):
    message = "{op}@{version} has no bytes: it is registered only"
    hint = "opstore versions {op}"
    python = "client.versions('{op}') lists the versions; those with a digest are stored"


class TokenNotFound(NotFound):
    message = "there is no token in {path}: the daemon creates it when it first starts"
    hint = "opstore start"
    python = "in a shell: opstore start"


class LogNotFound(NotFound):
    message = "there is no log at {path}: the daemon creates it when it first starts in the background"
    hint = "opstore start"
    python = "in a shell: opstore start"


class PipelineNotSaved(NotFound):
    """Raised by the Python client only: no daemon responds with it."""

    message = "the pipeline {pipeline} was not saved by save_pipeline(): it has no stored version of {op}"
    hint = "opstore pipeline show {pipeline}"
    python = "client.pipeline('{pipeline}') lists its ops, and client.load(reference) loads one"


class BlobNotFound(NotFound):
    message = "the store has no blob {digest}"


class PipelineNotFound(NotFound):
    """Its detail `op_of` lists the pipelines that have an op of that name; it is missing if there is no such op."""

    message = "there is no pipeline {pipeline}"
    past = "there was no pipeline {pipeline} at {as_of}"
    hint = "opstore pipeline list"
    python = "client.pipelines() lists the pipelines"

    def about_other_kind(self) -> str:
        name, pipelines = self.details.get("pipeline"), self.details.get("op_of")
        if not isinstance(pipelines, list):
            return ""
        if pipelines:
            return f"{name} is an op of the pipeline{'s' * (len(pipelines) > 1)} {' and '.join(pipelines)}"
        return f"{name} is an op, and no pipeline has it: opstore pipeline register PIPELINE UP {name}"


class LinkNotFound(NotFound):
    message = "no link from {upstream} to {downstream} is in force; {others}"
    hint = "opstore links {op}"
    python = "client.links('{op}') lists the links in force"


class LabelNotFound(NotFound):
    message = "{op}@{version} has no label {key}; its labels: {known}"
    hint = "opstore show {op}@{version}"
    python = "client.show('{op}@{version}').labels has its labels"


class UploadNotFound(NotFound):
    message = "there is no upload {upload}: it was finished, has expired or belongs to somebody else"


class RunNotFound(NotFound):
    message = "there is no run {run}"
    hint = "opstore runs"
    python = "client.runs() lists the runs"


class TagNotFound(NotFound):
    message = "{op} has no tag {tag}"
    past = "{op} had no tag {tag} at {as_of}"
    hint = "opstore tags {op}"
    python = "client.tags('{op}') lists the tags"


class TagYanked(NotFound):
    message = "{op}@{tag} is {version}, which is yanked: {reason}"
    past = "{op}@{tag} was {version} at {as_of}, which was yanked: {reason}"
    hint = "to move the tag: opstore tag {op}@latest {tag}; to use the yanked version anyway: {op}@{version}"
    python = "client.tag('{op}@latest', '{tag}') moves the tag; '{op}@{version}' selects the yanked version itself"


class PathNotFound(NotFound, FileNotFoundError):
    """Raised by the file system `opstore://` only. Its cause is the error that says why."""

    message = "there is nothing at opstore://{path}: {reason}"
    hint = "{advice}"


class StoreNotFound(NotFound):
    message = "there is no store to back up: {database} does not exist"
    hint = "set OPSTORE_HOME, or give the --db and the --saver that the daemon was started with"
    python = "set OPSTORE_HOME, or pass the database and the saver of the daemon"


class BackupNotFound(NotFound):
    message = "there is no backup in {folder}: {reason}"
    hint = "{advice}"


class RouteNotFound(NotFound):
    message = "there is nothing at {path}"


class Conflict(OpStoreError):
    """The request contradicts what the store has."""

    status, exit_code = 409, 5


class VersionConflict(Conflict):
    message = "{op}@{version} has the subversions {subversions} already, with other bytes: {digest}"
    hint = "opstore push {op} FILE --bump patch"
    python = "pass other subversions or fields, or otherwise='patch' to store these bytes as a new patch version"


class PipelineConflict(Conflict):
    message = "the pipeline {pipeline} is registered already, with another graph"
    hint = "opstore pipeline show {pipeline}, or another name for this graph"
    python = "client.pipeline('{pipeline}') returns that graph; pass another name for this one"


class PipelineChanged(Conflict):
    message = "nothing was recorded: the pipeline {pipeline} has another graph than the run: {difference}"
    hint = "opstore pipeline show {pipeline}, then run the command on the graph that it has now"
    python = "client.pipeline('{pipeline}') returns the graph that it has now"


class FormatConflict(Conflict):
    message = "{op}@{version} has these bytes already, as {format}, and a stored version never changes"
    hint = "opstore show {op}@{version}"
    python = "client.show('{op}@{version}') has the format"


class OpInUse(Conflict):
    """Raised by the Python client only: no daemon responds with it."""

    message = "{op}@{version} is {format}, so {op} can't be a step of a pipeline of scikit-learn"
    hint = "pass another name for the pipeline, or rename the step"


class OffsetMismatch(Conflict):
    message = "the upload {upload} is at offset {offset}, not at {given}"


class UploadIncomplete(Conflict):
    message = "the upload {upload} has {offset} of {size} bytes"


class UploadNotOpen(Conflict):
    message = "the upload {upload} is not open for an append: ask for its offset first"


class PartNotStored(Conflict):
    """The object store lacks a part that a client reports. Those before it count: it continues at the offset."""

    message = "the object store does not have the part at {offset} of the upload {upload} as reported: send it again"


class KeyReused(Conflict):
    message = "the idempotency key {key} was used for another request"


class LockConflict(Conflict):
    message = "{name} has other bytes in this store than in the lock: {actual}, not {expected}"
    hint = "the lock may be of another store (use its --url); what this store has: opstore show {name}"
    python = "client.show('{name}') is what this store has: the lock may be of another store"

    @classmethod
    def of(cls, name: str, actual: tuple[str | None, int | None], expected: tuple[str | None, int | None]) -> Self:
        """Return the error for a version; `actual` and `expected` are a digest and a size in bytes."""

        def words(digest: str | None, size: int | None) -> str:
            return "none" if digest is None else f"{digest} ({size} bytes)"

        return cls(name=name, actual=words(*actual), expected=words(*expected))


class BytesYanked(Conflict):
    message = "{op}@{version} has these bytes, and is yanked: {reason}"
    hint = "if they are right after all, push them with --new, or undo the yank: opstore unyank {op}@{version}"
    python = "if they are right after all: new=True, or client.unyank('{op}@{version}')"


class SubversionsRemoved(Conflict):
    message = "{op}@{version} had the subversions {subversions}, and was removed {how}: it does not come back"
    hint = "declare other subversions or fields, or let opstore push {op} FILE --bump patch make a new version"
    python = "pass other subversions or fields, or bump='patch', which makes a new version"


class StillNeeded(Conflict):
    """A removal would break something.

    Its detail `needs` lists what, at most the first hundred: `kind` is `link`, `tag` or `pipeline`, `version` is the
    version that it needs (or the op), `what` the other end of the link, the tag or the pipeline, and `words` says all
    of it. `count` counts all.
    """

    message = "still needed, so nothing was removed: {listed}"
    hint = "the same command with --dry-run lists all that it would break"
    python = "{called} with dry_run=True returns all that it would break; with force=True it removes all the same"

    @classmethod
    def of(cls, needs: Sequence[dict[str, str]], count: int) -> Self:
        """Return the error for `count` needs, the first of which are in `needs`."""
        shown = [need["words"] for need in needs[:3]]
        if count > len(shown):
            shown.append(f"and {count - len(shown)} more")
        return cls(needs=list(needs), count=count, listed="; ".join(shown))


class OpHasVersions(Conflict):
    message = "nothing was removed: {op} has {versions}, and its name alone means none of them"
    hint = "name one, such as {op}@latest (opstore versions {op} lists them); --all-versions means all of them"
    python = "name one, such as '{op}@latest' (client.versions('{op}') lists them); all_versions=True means all of them"


class OpInPipeline(Conflict):
    message = "nothing was removed: {op} is an op of the {pipelines}"
    hint = "opstore pipeline show {pipeline}"
    python = "client.pipeline('{pipeline}') has its ops and edges"


class OutputExists(Conflict):
    message = "{path} exists already"
    hint = "move it away, or choose another path"
    python = "move it away, or pass another path"


class PathExists(Conflict, FileExistsError):
    """Raised by the file system `opstore://` only."""

    message = "opstore://{path} exists already: its latest version is {version}"
    hint = "the mode 'wb' adds a version"


class HomeLocked(Conflict):
    message = "{home} is in use by the daemon at {url} (pid {pid})"
    hint = "opstore stop"
    python = "in a shell: opstore stop"


class StoreInUse(Conflict):
    message = "{what} is in use by {holder}"
    hint = "one daemon at a time: stop the other one, or give another --db, --saver or OPSTORE_HOME"
    python = "one at a time: close() the earlier server, or pass another saver and db_url"


class CollectionHeld(Conflict):
    message = "nothing is collected now: {reason}"
    hint = "when it has ended: opstore gc"
    python = "when it has ended: client.collect_garbage()"


class CollectionRefused(Conflict):
    message = "nothing is collected here: {reason}"


class BackupInUse(Conflict):
    message = "another backup or restore uses {folder}"
    hint = "wait until it has ended, and run the same command again"
    python = "wait until it has ended, and try again"


class BackupOfOtherStore(Conflict):
    message = "{folder} has a backup of the store {found}, not of the store {store}"
    hint = "give each store a backup folder of its own"


class BackupDiverged(Conflict):
    message = "the backup in {folder} has what the store does not have: {reason}"
    hint = "keep that backup, in case the store is an older copy, and choose another directory"


class HomeNotEmpty(Conflict):
    message = "nothing is restored into {home}, because it has content: {reason}"
    hint = "set OPSTORE_HOME to an empty folder"


class TargetNotEmpty(Conflict):
    message = "nothing is moved to {target}, because it has content: {reason}"
    hint = "give a database and a saver that are empty; what is there stays as it is"


class SourceChanged(Conflict):
    message = "somebody wrote to the source during the migration: it was at position {before}, and is at {after} now"
    hint = "stop all its daemons, and run the same command again: it moves only what is new"
    python = "stop all its daemons, and move it again: only what is new is moved"


class NumbersExhausted(Conflict):
    message = "{op} has no version number left at the level {level}"


class StopUnavailable(Conflict):
    message = "this server can't be stopped over HTTP: it runs within another program"
    hint = "stop the program that serves it"


class IntegrityFailure(OpStoreError):
    """Bytes do not match their digest."""

    status, exit_code = 422, 6


class DigestMismatch(IntegrityFailure):
    message = "the bytes that arrived have the digest {actual}, not {expected}: nothing was kept"
    hint = "run the same command again"
    python = "call {called} again"


class SizeMismatch(IntegrityFailure):
    message = "{actual} bytes arrived, not {expected}: nothing was kept"
    hint = "run the same command again"
    python = "call {called} again"


class ChecksumMismatch(IntegrityFailure):
    message = "the bytes that arrived have the checksum {actual}, not {expected}: nothing was kept"
    hint = "run the same command again"
    python = "call {called} again"


class BlobDamaged(IntegrityFailure):
    status = 500
    message = "the stored bytes of {digest} are damaged: {reason}"
    hint = "push the same bytes again, if you have them: that repairs the stored ones"


class UnexpectedResponse(IntegrityFailure):
    """Raised by the client only: no daemon responds with it."""

    message = "{url} responded with {actual} to a request for {expected}: nothing was kept"
    hint = "check which daemon that is: opstore status"
    python = "check which daemon that is: client.status()"


class BackupDamaged(IntegrityFailure):
    message = "the backup in {folder} is damaged: {reason}"
    hint = "{advice}"


class BackupIncomplete(IntegrityFailure):
    message = "the backup lacks {count} of {total} blobs, which are damaged or missing in the store"
    hint = "push the same bytes again, if you have them, and repeat the backup; opstore restore then needs --partial"
    python = "push the same bytes again, if you have them, and repeat the backup"


class MigrationIncomplete(IntegrityFailure):
    message = "everything was moved but {count} of {total} blobs, which are damaged or missing in the source"
    hint = "push the same bytes to the new store, if you have them"


class MigrationDiffers(IntegrityFailure):
    message = "what was moved is not what the source has: {reason}"
    hint = "go on using the source, and run the same command again"
    python = "go on using the source, and move it again"


class Unreachable(OpStoreError):
    """The daemon can't be reached."""

    status, exit_code = 503, 7


class DaemonUnreachable(Unreachable):
    message = "no daemon answers at {url}: {reason}"
    hint = "opstore serve (there); without --url and OPSTORE_URL, commands use the local daemon"
    python = "start it there, in a shell: opstore serve; OpStoreClient() without a URL uses the local daemon"


class DaemonNotRunning(Unreachable):
    message = "no daemon runs for {home}"
    hint = "opstore start"
    python = "in a shell: opstore start"


class LocalDaemonUnreachable(Unreachable):
    """The home has a daemon: its lock is held."""

    message = "a daemon runs for {home}, but it can't be reached: {reason}"
    hint = "{advice}"


class DaemonDidNotStart(Unreachable):
    message = "the local daemon did not start: {reason}"
    hint = "opstore serve shows why; its log is {log}"
    python = "in a shell, opstore serve shows why; its log is {log}"


class TlsFailed(Unreachable):
    message = "TLS with {url} failed: {reason}"
    hint = "{advice}"


class TlsRequired(Unreachable):
    message = "the server at {url} speaks HTTP with TLS only"
    hint = "use {secure}"


class ConnectionLost(Unreachable):
    message = "the connection to {url} was lost: {reason}"
    hint = "run the same command again"
    python = "call {called} again"

    def with_resume(self) -> Self:
        """Return this error with the advice for a transfer whose progress was kept."""
        self.advice = "run the same command again: the transfer resumes"
        self.python = "call {called} again: the transfer resumes"
        return self


class NotAuthorised(OpStoreError):
    """Not allowed, or not trusted."""

    status, exit_code = 403, 8


class TokenRequired(NotAuthorised):
    status = 401
    message = "the daemon requires a token: {reason}"
    hint = "opstore login URL, or set OPSTORE_TOKEN; opstore doctor says which token was sent"
    python = "pass token=..., set OPSTORE_TOKEN, or log in once in a shell: opstore login URL"


class SessionRequired(NotAuthorised):
    status = 401
    message = "this browser has no session here, or it has ended"
    hint = "opstore open"
    python = "client.invite() returns a path that starts a session"


class ScopeRequired(NotAuthorised):
    message = "this token may not do that: it needs the scope {scope}"


class ForeignHost(NotAuthorised):
    message = "the Host {host!r} is not this daemon's"


class ForeignOrigin(NotAuthorised):
    message = "requests from other sites are refused: {reason}"


class UntrustedUrl(NotAuthorised):
    message = "{url} comes from {path}, which somebody else may have written, so it is not used"
    hint = "opstore login {url}, if you trust it"
    python = "pass the URL to OpStoreClient if you trust it, or log in once in a shell: opstore login {url}"


class UntrustedHome(NotAuthorised):
    message = "{home} is not used: {reason}"
    hint = "{advice}"


class PlainHttp(NotAuthorised):
    message = "a token is not sent to {url}: over plain HTTP everybody on the way could read it"
    hint = "use https://"


class ProofFailed(NotAuthorised):
    message = "{url} did not prove that it knows the token, which was not sent: a wrong token, or another program"
    hint = "opstore doctor says which token was used; opstore restart, for the local daemon"
    python = "check the token that was passed; in a shell, opstore doctor says which one the commands use"


class TokenUnavailable(NotAuthorised):
    message = "the token of an unpickled client can't be read from {path}: {reason}"
    hint = "unpickle it as the same user on the same machine, while the process that pickled it runs"


class ListenRefused(NotAuthorised):
    message = "the daemon does not listen on {host}: other machines could reach it there, unprotected"
    hint = (
        "opstore serve --host 127.0.0.1, behind a reverse proxy with TLS; --behind-proxy too, if only such a proxy can "
        "reach the address from other machines"
    )
    python = "listen on 127.0.0.1, behind a reverse proxy with TLS; behind_proxy=True allows an address for that proxy"


class LoadingRunsCode(NotAuthorised):
    message = "{op}@{version} is a {format} file: loading it can run arbitrary code"
    hint = (
        "if you trust everybody who can push here: client.load(..., allow_pickle=True), or OPSTORE_ALLOW_PICKLE=1, "
        "or allow_pickle = true in your own config.toml"
    )
    python = (
        "if you trust everybody who can push here, pass allow_pickle=True; OPSTORE_ALLOW_PICKLE=1, or "
        "allow_pickle = true in your own config.toml, allows it everywhere"
    )


class UntrustedTypes(NotAuthorised):
    message = "{op}@{version} holds types that skops does not trust by default: {types}"
    hint = "client.load(..., trusted=[...]) with the types that you trust"
    python = "pass trusted=[...] with the types that you trust"


class Unavailable(OpStoreError):
    """A storage error: disk full, database or saver down, or an output that can't be written."""

    status, exit_code = 503, 9


class StorageFull(Unavailable):
    status = 507
    message = "there is no space left: {reason}"
    hint = "free some space and run the same command again"
    python = "free some space and call {called} again"


class StorageFailed(Unavailable):
    message = "the bytes could not be stored or read: {reason}"


class ObjectStoreFailed(StorageFailed):
    """`place` is the bucket and the prefix; `reason` is what was observed."""

    message = "the object store of {place} failed: {reason}"
    hint = "{advice}"


class DatabaseFailed(Unavailable):
    message = "the database failed: {reason}"


class OutcomeUnknown(Unavailable):
    message = "the database failed during the commit, whose outcome is unknown: {reason}"
    hint = "run the same command again: requests are idempotent"
    python = "call {called} again: requests are idempotent"


class SchemaTooNew(Unavailable):
    """`release` is the opstore that made or upgraded the schema; None if the database does not say so."""

    message = "the database has the schema {found}, which is newer than this opstore ({known})"
    hint = "{advice}"


class DatabaseLost(Unavailable):
    message = "{saver} holds blobs of a store, and their database is not there: {reason}"
    hint = "put their database back, or give another --saver or OPSTORE_HOME; see Recovery in the documentation"
    python = "put their database back, or pass another saver; see Recovery in the documentation"


class DatabaseDamaged(Unavailable):
    message = "the database {database} can't be used as it is: {reason}"
    hint = "leave it as it is; see Recovery in the documentation"


class DatabaseReplaced(Unavailable):
    message = "the daemon stores nothing any more: {reason}"
    hint = "let the daemon run until its database is saved; see Recovery in the documentation"


class BlobsLost(Unavailable):
    message = "the database {database} has stored versions, and their bytes are not there: {reason}"
    hint = "put the blobs back, or give the --saver where they are; see Recovery in the documentation"
    python = "put the blobs back, or pass the saver where they are; see Recovery in the documentation"


class StoreMismatch(Unavailable):
    message = "the database {database} belongs to {of_database}, and {saver} to the store {of_saver}"
    hint = "give the --db and the --saver, or the OPSTORE_HOME, that belong together"
    python = "pass the db_url and the saver that belong together"


class StoreIdDamaged(Unavailable):
    message = "{path} has {text!r}, which is not a store id: 32 lower-case hex digits"
    hint = "the database has the right one, in its table store; see Recovery in the documentation"


class NotReady(Unavailable):
    message = "not ready"


class NotVerified(Unavailable):
    """Not yet: the daemon reads the bytes on. Each repetition waits for it for a while, and reads nothing again."""

    message = "the store still verifies the upload {upload}: it has read {verified} of {size} bytes"
    hint = "run the same command again later: it continues there"
    python = "call {called} again later: it continues there"


class CollectionIncomplete(Unavailable):
    """Raised by the command only: the client returns the problems in the record of the collection."""

    message = "not everything could be collected: {reason}"
    hint = "when that is solved: opstore gc"
    python = "when that is solved: client.collect_garbage()"


class OutputFailed(Unavailable):
    message = "{path} can't be written: {reason}"


class LibraryMissing(Unavailable):
    message = "{what} needs the library {library}, which can't be imported: {reason}"
    hint = "pip install 'opstore[{extra}]'"


class ProgramReplaced(Unavailable):
    message = "the daemon's program was replaced or removed while it runs: {reason}"
    hint = "opstore restart"
    python = "in a shell: opstore restart"


class BackupFolderFailed(Unavailable):
    message = "{path} can't be used: {reason}"


class BackupKilled(Unavailable):
    message = "the process of the {command} was killed ({signal})"
    hint = "run the same command again: it completes what was begun"
    python = "do it again: that completes what was begun"


class BackupTooNew(Unavailable):
    message = "the backup in {folder} has the format {found}, which is newer than this opstore ({known})"
    hint = "update opstore: the backup was made by the release {release}"


class RestoreUnfinished(Unavailable):
    message = "the restore of {source} into {home} is not finished"
    hint = "finish it: {command}"
    python = "finish it in a shell: {command}"


class MigrationUnfinished(Unavailable):
    message = "the migration to {target} is not finished"
    hint = "finish it: {command}"
    python = "finish it in a shell: {command}"


class BudgetExceeded(OpStoreError):
    """The answer would take too much work: a limit was reached before it was found."""

    status, exit_code = 422, 10


class ResolutionTooHard(BudgetExceeded):
    message = "can't resolve {pipeline} within {limit}; the ops that conflict most: {most}"
    hint = "opstore resolve {pipeline} --use OP@VERSION, with versions of these ops that are valid together"
    python = "pass use=[...] with versions of these ops that are valid together"


class TooMuchWork(BudgetExceeded):
    message = "{question} takes more than {limit}"
    hint = "name a version or a smaller range; opstore affected takes --pipeline PIPELINE"
    python = "pass a version or a smaller range; client.affected() takes pipeline=..."


class TooManySearches(BudgetExceeded):
    status = 503
    message = "too many long searches: {running} are running, and no more can wait for them"
    hint = "run the same command again later"
    python = "call {called} again later"


class TooManyReads(BudgetExceeded):
    status, retry_after = 503, 5
    message = "too many large reads: {running} are running, and no more can wait for them"
    hint = "run the same command again later"
    python = "call {called} again later"


class QuotaExceeded(BudgetExceeded):
    status = 429
    message = "this token has {limit} {what}, which is the maximum: {frees}"
    hint = "run the same command again later"
    python = "call {called} again later"


class InternalError(OpStoreError):
    """A bug. The daemon's log has the traceback under the reference."""

    message = "an internal error, with the reference {reference}"
    hint = "the daemon's log has the details under that reference: opstore logs"
    python = "the daemon's log has the details under that reference: daemon.log in client.status().home"


def all_errors(family: type[OpStoreError] = OpStoreError) -> Iterator[type[OpStoreError]]:
    """Yield every error of the family, the family first, in the order of this file."""
    yield family
    for child in family.__subclasses__():
        yield from all_errors(child)


def from_wire(
    code: str, status: int, text: str, advice: str = "", details: dict[str, Any] | None = None
) -> OpStoreError:
    """Return the error of that name; a name that this release does not know becomes the family of its status."""
    known = {error.__name__: error for error in all_errors()}
    families: dict[int, type[OpStoreError]] = {
        401: NotAuthorised,
        403: NotAuthorised,
        404: NotFound,
        409: Conflict,
        422: IntegrityFailure,
        500: InternalError,
    }
    fallback = families.get(status, Refused if 400 <= status < 500 else Unavailable)
    error: type[OpStoreError] = known.get(code, fallback)
    return error.restored(text, advice, details or {})


def did_you_mean(names: Sequence[str]) -> str:
    """Return the advice that names these; empty if there are none."""
    return f"did you mean {' or '.join(names)}?" if names else ""


def reason(error: BaseException) -> str:
    """Return why an operation failed, in words: those of the operating system for an OSError."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def advised(called: str) -> Iterator[None]:
    """Add the advice to the traceback of an error that is raised in the context, where a program called `called`."""
    try:
        yield
    except OpStoreError as error:
        error.set_notes([advice] if (advice := error.in_python(called)) else [])
        raise


@contextmanager
def translated(*failures: type[Exception], to: type[OpStoreError], **details: Any) -> Iterator[None]:
    """Raise `to(reason=..., **details)` in place of the `failures`, with their reason.

    with translated(OSError, to=errors.OutputFailed, path=str(path)):
        path.write_bytes(data)
    """
    try:
        yield
    except failures as error:
        raise to(reason=reason(error), **details) from error


@contextmanager
def translated_writes(path: str, /, *, to: type[OpStoreError], **details: Any) -> Iterator[None]:
    """Raise errors of opstore in place of the OSErrors of a file that is written.

    OutputFailed for `path` if the disk is full, read-only or broken, else `to(reason=..., **details)`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise OutputFailed(path=path, reason=reason(error)) from error
        raise to(reason=reason(error), **details) from error


_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
