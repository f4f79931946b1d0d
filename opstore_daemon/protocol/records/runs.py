"""Runs: what a command showed about a set of versions, and bisections, which run a command on past sets.

A *set* is one version of each op of a pipeline. Its digest names exactly these versions in this graph
(`protocol.version_sets`).
"""

import shlex
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Literal

from msgspec import Meta

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import MAX_OUTPUT
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import base
from opstore_daemon.protocol.records.base import (
    AuthorText,
    Cursor,
    DigestText,
    NameText,
    Position,
    Record,
    Request,
    Time,
    VerdictWord,
)
from opstore_daemon.protocol.records.html_tables import heading, table
from opstore_daemon.protocol.records.links import LinkRecord
from opstore_daemon.protocol.records.patterns import NO_NUL
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted, one_line, short_text
from opstore_daemon.protocol.records.verdicts import OpVersion

RunResult = Literal["passed", "failed", "unknown"]

MAX_COMMAND_SHOWN, MAX_REASON_SHOWN = 80, 200  # characters of a command and of a reason in a sentence
MAX_COMMAND = 64 * 1024  # characters of all words of a command: a page of runs has many

Argument = Annotated[str, Meta(max_length=16384, pattern=NO_NUL)]
Command = Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=1000)]
PathText = Annotated[str, Meta(max_length=4096, pattern=NO_NUL)]
Commit = Annotated[str, Meta(max_length=80, pattern=r"^[0-9a-f]{7,64}(-dirty)?(?![\s\S])")]
Address = Annotated[str, Meta(max_length=2048, pattern=NO_NUL)]
Output = Annotated[str, Meta(max_length=MAX_OUTPUT)]  # what a command printed may be anything
Seconds = Annotated[float, Meta(ge=0, le=10**9)]
ExitCode = Annotated[int, Meta(ge=-255, le=2**32 - 1)]  # below 0: the number of the signal that killed it
Repeat = Annotated[int, Meta(ge=1, le=1000)]


def command_text(command: Sequence[str], limit: int = 200) -> str:
    """Return the command as a person types it in a shell, on one line of at most `limit` characters."""
    return one_line(shlex.join(command), limit)


class NewRun(Request, frozen=True, kw_only=True):
    """A run of a command on a set of versions of a pipeline.

    `edges` are those of the pipeline when the command started. `versions` are references with version numbers, one for
    each op. `script` is the digest of the file that the command runs, and `script_path` its path as the command names
    it. `result` is `passed` for exit code 0, `unknown` if the command can't tell, else `failed`; `reason` says in words
    what decided it. `exit_code` is None if the command was not awaited to its end. `duration` is in seconds, of all
    repetitions; the store keeps it to the microsecond. `output` is the beginning and the end of what the command
    printed; `output_digest` and `output_size` (bytes) are of all of it.
    """

    edges: Annotated[tuple[tuple[OpName, OpName], ...], Meta(max_length=10000)]
    versions: base.References
    command: Command
    script: Digest | None = None
    script_path: PathText | None = None
    result: RunResult
    reason: base.Reason
    exit_code: ExitCode | None = None
    duration: Seconds
    repeat: Repeat = 1
    output: Output = ""
    output_digest: Digest
    output_size: base.Size
    commit: Commit | None = None
    ci_url: Address | None = None


class RunRecord(Record, frozen=True, kw_only=True):
    """A run of a command on a set of versions; `position`, its entry in the journal, names it.

    `set` is the digest of the set. The other fields are those of `NewRun`.
    """

    position: Position
    registered_at: Time
    author: AuthorText | None = None
    pipeline: NameText
    set: DigestText
    versions: tuple[OpVersion, ...]
    command: Command
    script: DigestText | None
    script_path: PathText | None
    result: RunResult
    reason: base.Reason
    exit_code: ExitCode | None
    duration: Seconds
    repeat: Repeat
    output_digest: DigestText
    output_size: base.Size
    commit: Commit | None
    ci_url: Address | None

    NOT_IN_TABLES = frozenset({"script_path", "output_digest", "output_size", "repeat"})

    def _summary(self) -> str:
        """Return its position, the command, and the result with its reason."""
        return f"{self.position}: {command_text(self.command, 80)} {self.result}, {short_text(self.reason)}"


def outcome_text(run: RunRecord) -> str:
    """Return in words what a run showed about its set, on one short line."""
    command, date = command_text(run.command, MAX_COMMAND_SHOWN), run.registered_at.astimezone(UTC).date()
    outcome = f"run {run.position} {run.result} with exactly these versions on {date}: {command}"
    return outcome if run.result == "passed" else f"{outcome} ({one_line(run.reason, MAX_REASON_SHOWN)})"


class RecordedRun(Record, frozen=True, kw_only=True):
    """A run that was recorded, and what became of the edges of its set.

    `links` are the links that it recorded. `kept_invalid` are links of the set that somebody recorded as invalid: no
    run reverses them.
    """

    run: RunRecord
    links: tuple[LinkRecord, ...] = ()
    kept_invalid: tuple[LinkRecord, ...] = ()

    @property
    def verdict(self) -> VerdictWord:
        """The verdict over the set: invalid, although the run passed, if an edge stays invalid."""
        if self.run.result == "unknown":
            return "unknown"
        return "valid" if self.run.result == "passed" and not self.kept_invalid else "invalid"

    def __bool__(self) -> bool:
        """Return whether every edge of the set is valid, so that `if client.verify(...)` is a gate."""
        return self.verdict == "valid"

    def _summary(self) -> str:
        """Return the run, and how many links it recorded."""
        return f"{self.run._summary()}, {counted(len(self.links), 'links')}"

    def _repr_html_(self) -> str:
        """Return the run, and a table of the links that it recorded and of those that it kept."""
        parts = [self.run._repr_html_()]
        for links, title in ((self.links, "links"), (self.kept_invalid, "kept as invalid")):
            if links:
                parts += [heading(title), table(links)]
        return "".join(parts)


class Runs(Record, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    runs: tuple[RunRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[RunRecord, ...]:
        """The rows of the page."""
        return self.runs


class SetChange(Record, frozen=True, kw_only=True):
    """An entry of the journal that changed the latest version of an op of a pipeline.

    `version` is the latest version from this entry on, None if the op has none then. `action` and `text` are those of
    the journal's entry.
    """

    position: Position
    registered_at: Time
    author: AuthorText | None = None
    action: base.Word
    op: NameText
    version: base.NumberText | None
    text: base.Sentence | None = None

    def _summary(self) -> str:
        """Return its position, and the latest version from then on."""
        return f"{self.position}: {self.op} {self.action}, latest {self.version or 'none'}"


class SetHistory(Rows, Record, frozen=True, kw_only=True):
    """How the latest versions of a pipeline's ops changed, oldest first: a sequence of the changes.

    `versions` are the latest ones as of `since`. `changes` come after `since`; with a `next_cursor` there are more.
    """

    ROWS = "changes"

    pipeline: NameText
    edges: tuple[tuple[NameText, NameText], ...]
    since: Position
    until: Position
    versions: tuple[OpVersion, ...]
    changes: tuple[SetChange, ...]
    next_cursor: Cursor | None = None

    def _summary(self) -> str:
        """Return the pipeline, the positions, and the number of changes."""
        return f"{self.pipeline}, {self.since} to {self.until}, {counted(len(self.changes), 'changes')}"

    @property
    def rows(self) -> tuple[SetChange, ...]:
        """The rows of the page."""
        return self.changes


class NewBisection(Request, frozen=True, kw_only=True):
    """The result of a bisection of a pipeline between two positions of the journal.

    `last_good` is the last position whose set passed, `first_bad` that of the first entry whose set failed. The sets
    of `skipped` entries between them could not be tested: if there are any, the first bad entry is one of these or
    `first_bad`. `runs` are the runs that decided it, in their order.
    """

    command: Command
    script: Digest | None = None
    good: Position
    bad: Position
    last_good: Position
    first_bad: Position
    skipped: Annotated[tuple[Position, ...], Meta(max_length=10000)] = ()
    runs: Annotated[tuple[Position, ...], Meta(max_length=10000)] = ()


class BisectionRecord(Record, frozen=True, kw_only=True):
    """The result of a bisection; `position`, its entry in the journal, names it.

    `culprit` is the entry `first_bad`: the first one that broke the pipeline, unless entries were `skipped`.
    """

    position: Position
    registered_at: Time
    author: AuthorText | None = None
    pipeline: NameText
    command: Command
    script: DigestText | None
    good: Position
    bad: Position
    last_good: Position
    first_bad: Position
    skipped: tuple[Position, ...]
    runs: tuple[Position, ...]
    culprit: SetChange
    last_good_versions: tuple[OpVersion, ...]

    def _summary(self) -> str:
        """Return the version that broke the pipeline."""
        return f"{self.pipeline}, broken by {self.culprit.op} {self.culprit.version}, position {self.first_bad}"


class Bisections(Record, frozen=True, kw_only=True):
    """A page of bisections, newest first."""

    bisections: tuple[BisectionRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[BisectionRecord, ...]:
        """The rows of the page."""
        return self.bisections
