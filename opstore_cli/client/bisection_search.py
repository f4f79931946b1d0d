"""Run a command on the sets that the search of a bisection asks for, and use the results of earlier runs."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from opstore_cli.client.removed_versions import show_removed_too
from opstore_cli.evidence import search
from opstore_cli.evidence.search import Boundary, NoAnswer, Result, Run
from opstore_cli.evidence.timeline import Timeline, VersionSet
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import (
    OpVersion,
    PipelineRecord,
    RecordedRun,
    RunRecord,
    RunResult,
    SetChange,
    VersionRecord,
)
from opstore_daemon.protocol.version_sets import set_digest

# A set with such a version can't be run: its bytes are damaged or were removed, or are no folder.
CANT_BE_PULLED = (
    errors.OpNotFound,
    errors.VersionNotFound,
    errors.VersionRemoved,
    errors.BlobNotFound,
    errors.NotStored,
    errors.DigestMismatch,
    errors.SizeMismatch,
    errors.ChecksumMismatch,
    errors.BlobDamaged,
    errors.FolderRefused,
)
_RESULTS: dict[RunResult, Result] = {"passed": "passed", "failed": "failed", "unknown": "untestable"}

RunOn = Callable[[list[VersionRecord]], RecordedRun]
RecordOf = Callable[[str, str, str | None], VersionRecord]


@dataclass(frozen=True, slots=True)
class BisectionStep:
    """A set that a bisection looks at: before its command runs (`result` is None), and with its result.

    One of `suspects` entries broke the pipeline, which takes about `runs` runs to find. `run` is the run with the
    result, an earlier one if `is_reused`. Without a run the set can't be tested; `reason` says why.
    """

    position: int
    change: SetChange | None
    suspects: int
    runs: int
    result: Result | None = None
    run: RunRecord | None = None
    is_reused: bool = False
    reason: str = ""


Notify = Callable[[BisectionStep], object]


@dataclass(slots=True)
class BisectionSearch:
    """The search for the first bad set of a timeline, of which each is run at most once.

    `run_on` runs the command on a set and records the result; `record_of` returns the record of a version as of a
    position, None: now.
    """

    pipeline: PipelineRecord
    timeline: Timeline
    run_on: RunOn
    record_of: RecordOf
    notify: Notify
    runs: dict[VersionSet, RunRecord] = field(default_factory=dict)
    reused: dict[VersionSet, RunRecord] = field(default_factory=dict)
    _results: dict[VersionSet, Result] = field(default_factory=dict)
    _reasons: dict[VersionSet, str] = field(default_factory=dict)
    _records: dict[tuple[str, str], VersionRecord] = field(default_factory=dict)
    _removed: dict[tuple[str, str], errors.VersionRemoved] = field(default_factory=dict)
    _shown: set[int] = field(default_factory=set)

    def reuse(self, runs: list[RunRecord], repeat: int = 1) -> None:
        """Use the results of earlier runs, newest first, of the same command and script. Raises BisectionRefused.

        `repeat`: the repetitions that a run needs to count, unless it could not tell.
        """
        wanted = {each.versions for each in self.timeline.moments if not each.missing}
        for run in runs:
            if run.repeat < repeat and run.result != "unknown":
                continue
            versions = self._in_order(run)
            if versions in wanted and versions not in self.reused and self._is_set(versions, run):
                self.reused[versions] = run
                self._results[versions] = _RESULTS[run.result]
        first = self.timeline.moments[0]
        if self._results.get(first.versions) == "failed":
            failed = self.reused[first.versions].position
            error = errors.BisectionRefused(
                pipeline=self.pipeline.name,
                reason=f"the command failed at the good end already, position {first.position} (run {failed})",
                advice="give a --good at which it passes, or ignore earlier runs with --rerun",
            )
            error.python = "pass a good end at which it passes, or rerun=True to ignore earlier runs"
            raise error

    def find(self) -> Boundary:
        """Return the answer. Raises NotBroken, BadEndUntested, PipelineChanged, and what `run_on` raises else."""
        # By number: a set of many versions takes long to be hashed again at each step.
        numbers: dict[VersionSet, int] = {}
        for each in self.timeline.moments:
            numbers.setdefault(each.versions, len(numbers))
        sets = [None if each.missing else numbers[each.versions] for each in self.timeline.moments]
        while isinstance(step := search.next_step(sets, self._by_number(numbers)), Run):
            self._run(step)
        last = len(sets) - 1
        if isinstance(step, NoAnswer):
            self._show(last)
            raise self._no_answer(step)
        for index in (last, step.last_good, *step.skipped, step.first_bad):
            self._show(index)
        return step

    def _by_number(self, numbers: dict[VersionSet, int]) -> dict[Hashable, Result]:
        return {numbers[versions]: result for versions, result in self._results.items()}

    def deciding_runs(self, answer: Boundary) -> list[RunRecord]:
        """Return the runs of this bisection, and the earlier ones that the answer needs, in their order."""
        needed = (len(self.timeline.moments) - 1, answer.last_good, answer.first_bad, *answer.skipped)
        sets = [self.timeline.moments[index].versions for index in needed]
        earlier = [self.reused[versions] for versions in sets if versions in self.reused]
        return sorted({each.position: each for each in (*self.runs.values(), *earlier)}.values(), key=_position)

    def has_run(self, index: int) -> bool:
        """Return whether the command ran on the set, now or earlier."""
        versions = self.timeline.moments[index].versions
        return versions in self.runs or versions in self.reused

    def _run(self, step: Run) -> None:
        moment = self.timeline.moments[step.index]
        self._shown.add(step.index)
        self.notify(BisectionStep(moment.position, moment.change, step.suspects, step.runs))
        run = None
        try:
            records = [self._record(each.op, str(each.version)) for each in moment.versions]
            self._check_removed(moment.versions)
            run = self.run_on(records).run
        except CANT_BE_PULLED as error:
            self._skip(moment.versions, error)
        else:
            self.runs[moment.versions], self._results[moment.versions] = run, _RESULTS[run.result]
        reason = self._reasons[moment.versions] if run is None else run.reason
        result = self._results[moment.versions]
        self.notify(BisectionStep(moment.position, moment.change, step.suspects, step.runs, result, run, reason=reason))

    def _skip(self, versions: VersionSet, error: errors.OpStoreError) -> None:
        """Skip the set, and all others with the version that can't be pulled, if the error says which one it is."""
        broken = next((each for each in versions if self._is_about(error, each)), None)
        reason = error.text if broken is None else f"{broken}: {error.text}"
        for each in (versions, *(moment.versions for moment in self.timeline.moments[1:])):
            if each == versions or broken in each:
                self._results.setdefault(each, "missing")
                self._reasons.setdefault(each, reason)

    def _is_about(self, error: errors.OpStoreError, each: OpVersion) -> bool:
        """Return whether the error is about this version, or about its bytes."""
        number = error.details.get("version", error.details.get("selector"))
        if error.details.get("op") is not None:
            return (each.op, each.version) == (error.details["op"], number)
        record = self._records.get((each.op, str(each.version)))
        return record is not None and record.digest is not None and record.digest == error.details.get("digest")

    def _show(self, index: int) -> None:
        """Notify of a result that decided and for which nothing ran."""
        moment = self.timeline.moments[index]
        if index in self._shown or index == 0:
            return
        self._shown.add(index)
        run = self.runs.get(moment.versions) or self.reused.get(moment.versions)
        reason = self._reasons.get(moment.versions, "") if run is None else run.reason
        if moment.missing:
            reason = f"{', '.join(moment.missing)} had no version"
        result = self._results.get(moment.versions, "missing")
        self.notify(BisectionStep(moment.position, moment.change, 0, 0, result, run, run is not None, reason))

    def _no_answer(self, answer: NoAnswer) -> errors.AnswerIsNo:
        last = self.timeline.moments[-1].versions
        details = {
            "pipeline": self.pipeline.name,
            "good": self.timeline.since,
            "position": self.timeline.until,
            "runs_made": len(self.runs),
            "runs_reused": len(self.reused),
        }
        run = self.runs.get(last) or self.reused.get(last)
        if answer.bad_end == "passed" and run is not None:
            return errors.NotBroken(**details, run=run.position)
        reason = self._reasons.get(last, "") if run is None else f"{run.reason} (run {run.position})"
        return errors.BadEndUntested(**details, reason=reason)

    def _in_order(self, run: RunRecord) -> VersionSet:
        place = {op: number for number, op in enumerate(self.pipeline.ops)}
        return tuple(sorted(run.versions, key=lambda each: place.get(each.op, len(place))))

    def _is_set(self, versions: VersionSet, run: RunRecord) -> bool:
        """Return whether the run was on these versions in the graph that the pipeline has now."""
        try:
            subversions = {each.op: self._record(each.op, str(each.version)).subversions for each in versions}
        except errors.NotFound:  # of another store, which a proxy leads to now
            return False
        return run.set == set_digest(self.pipeline.edges, subversions)

    def _record(self, op: str, number: str) -> VersionRecord:
        """Return the record of a version, also of one that was removed: it may have been run before."""

        def show(as_of: str | None) -> VersionRecord:
            try:
                return self.record_of(op, number, as_of)
            except errors.VersionRemoved as error:
                self._removed.setdefault((op, number), error)
                raise

        if (op, number) not in self._records:
            self._records[op, number] = show_removed_too(show)
        return self._records[op, number]

    def _check_removed(self, versions: VersionSet) -> None:
        """Raise VersionRemoved for a set that can't be run, because a version of it was removed."""
        for each in versions:
            if (error := self._removed.get((each.op, str(each.version)))) is not None:
                raise error


def _position(run: RunRecord) -> int:
    return run.position
