"""The verb `bisect`: run a command on past sets of a pipeline to find the entry that broke it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from opstore_cli.client.comparison import Difference
from opstore_cli.client.mixin import ignore
from opstore_cli.client.removed_versions import show_removed_too
from opstore_cli.client.verification import Function, VerificationMixin, check_limits
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.records import (
    BisectionRecord,
    Lock,
    LockedVersion,
    NewBisection,
    RecordedRun,
    SetChange,
    VersionRecord,
)
from opstore_daemon.protocol.references import parse_selector
from opstore_daemon.protocol.times import When

if TYPE_CHECKING:
    from opstore_cli.client.bisection_ends import End
    from opstore_cli.client.bisection_search import BisectionSearch, Notify
    from opstore_cli.evidence.runnable import Runnable
    from opstore_cli.evidence.search import Boundary
    from opstore_cli.evidence.timeline import Timeline
    from opstore_cli.evidence.watcher import Watcher

MOST = 10000  # positions that the record of a bisection may list


class Bisection(BisectionRecord, frozen=True, kw_only=True):
    """A recorded bisection with the details of its search.

    `suspects` are the entries of which one broke the pipeline: only `culprit`, unless entries could not be tested.
    `diff` compares the version that the culprit brought with the one before; None if there was none before, or if there
    are several suspects. `last_good_set` has the records of the last good versions; `edges` are the pipeline's.
    It is only believed to be good if `last_good_tested` is false: it is the good end, on which nothing ran.
    `runs_made` counts the runs of this bisection, `runs_reused` the earlier ones that it used.
    """

    suspects: tuple[SetChange, ...]
    diff: Difference | None
    edges: tuple[tuple[str, str], ...]
    last_good_set: tuple[VersionRecord, ...]
    last_good_tested: bool
    runs_made: int
    runs_reused: int

    def __bool__(self) -> bool:
        """Return whether it is sure which entry broke the pipeline."""
        return len(self.suspects) == 1

    def lock(self) -> Lock:
        """Return the lock of the last good versions, for `client.pull_lock`, for example.

        Returns:
            Lock: the versions with their digests.
        """
        versions = (
            LockedVersion(op=each.op, subversions=each.subversions, digest=each.digest, size=each.size)
            for each in self.last_good_set
        )
        return Lock(edges=self.edges, versions=tuple(versions))


class BisectionMixin(VerificationMixin):
    """The verb `bisect`."""

    def bisect(
        self,
        pipeline: str,
        command_or_function: Sequence[str] | Function,
        *,
        good: When | Lock | Path,
        bad: When | Lock | Path | None = None,
        rerun: bool = False,
        timeout: float | None = None,
        repeat: int = 1,
        script_path: Path | str | None = None,
        load: bool = False,
        notify: "Notify | None" = None,
    ) -> Bisection:
        """Find the entry of the journal that broke a pipeline: run a command on the latest versions of the past.

        Of the sets between one that is good and one that is bad, it runs the one in the middle, then the one in the
        middle of the half with the fault, and so on: for n changes at most log2(n) + 1 runs, rounded up, unless some
        sets can't be tested. Every run is recorded, as by `verify`, and results that are recorded are not run again.

        Args:
            pipeline: the name of the pipeline.
            command_or_function: what runs on each set, as for `verify`.
            good: when the pipeline worked, which is not tested: a position of the journal, a time, or a lock or the
                path of its file, whose versions were the latest ones at some time.
            bad: when it was broken, in the same way; by default now. This is tested first.
            rerun: ignore the results of earlier runs.
            timeout: seconds after which a command is ended: then nobody knows.
            repeat: how often to run it on each set. If two repetitions differ, nobody knows.
            script_path: the path of the file whose digest says whether an earlier run ran the same code.
            load: pass the objects to the function, not the paths.
            notify: called with a `BisectionStep` before and after each run.

        Returns:
            Bisection: `culprit` is the first bad entry. It is true only if that is sure: else `suspects` has the
            entries before it that could not be tested.

        Raises:
            NotBroken: the set at the bad end passed.
            BadEndUntested: the set at the bad end can't be tested.
            BisectionRefused: nothing changed between the ends, one of them has an op without a version, or the versions
                of a lock were never the latest ones.
            PipelineNotFound: the pipeline does not exist.
            PipelineChanged: the pipeline got another graph meanwhile.
            CommandNotStarted: the command was not found, or can't be executed.
            InvalidRequest: an end is neither a lock file nor a position or a time.

        Examples:
            >>> found = client.bisect("iris", lambda paths: paths["pca"].stat().st_size == 10, good=3)
            >>> print(found.culprit.op, found.culprit.version)
            pca 2.0.0
        """
        runnable = self._runnable(command_or_function, script_path, load=load, timeout=timeout)
        ends = cast("End", good), cast("End | None", bad)  # the arguments were converted
        return self._bisect(pipeline, runnable, *ends, rerun=rerun, timeout=timeout, repeat=repeat, notify=notify)

    def _bisect(
        self,
        pipeline: str,
        runnable: "Runnable",
        good: "End",
        bad: "End | None",
        *,
        rerun: bool,
        timeout: float | None,
        repeat: int,
        notify: "Notify | None",
        watcher: "Watcher | None" = None,
    ) -> Bisection:
        """Bisect with something that runs, and somebody who watches it. Raises what `bisect` raises."""
        from opstore_cli.client.bisection_ends import Ends
        from opstore_cli.client.bisection_search import BisectionSearch

        check_limits(timeout, repeat)
        runnable.check()  # before anything is requested
        graph = self.pipeline(pipeline)
        timeline = Ends(self, graph).between(good, bad)

        def run_on(versions: Sequence[VersionRecord]) -> RecordedRun:
            return self._run_on_set(
                graph.name, graph.edges, versions, runnable, timeout=timeout, repeat=repeat, watcher=watcher
            )

        searched = BisectionSearch(graph, timeline, run_on, self._record_of, notify or ignore)
        script = None if runnable.script is None else runnable.script.digest
        if not rerun:
            earlier = self.runs(graph.name, command=runnable.command, script=script)
            searched.reuse([run for run in earlier if run.script == script], repeat)
        answer = searched.find()
        recorded = self._record_once(graph.name, _new_bisection(runnable, timeline, answer, searched))
        moments = timeline.moments
        suspects = [moments[index].change for index in (*answer.skipped, answer.first_bad)]
        return Bisection(
            **{name: getattr(recorded, name) for name in BisectionRecord.__struct_fields__},
            suspects=tuple(change for change in suspects if change is not None),
            diff=self._difference(timeline, answer),
            edges=graph.edges,
            last_good_set=tuple(
                show_removed_too(partial(self._record_of, each.op, str(each.version)))
                for each in moments[answer.last_good].versions
            ),
            last_good_tested=searched.has_run(answer.last_good),
            runs_made=len(searched.runs),
            runs_reused=len(searched.reused),
        )

    def _record_of(self, op: str, number: str, as_of: str | None = None) -> VersionRecord:
        """Return the record of a version. That it is yanked matters to nobody who looks at the past."""
        path = routes.path(routes.VERSION, op=op, selector=number)
        record = self._api.request("GET", path, VersionRecord, parameters={"as_of": as_of})
        return self._api.check(record, op, parse_selector(number))

    def _record_once(self, pipeline: str, new: NewBisection) -> BisectionRecord:
        """Record the bisection, unless the last one of the pipeline has the same answer."""
        last = self.bisections(pipeline, limit=1)
        return last[0] if last and _answer(last[0]) == _answer(new) else self.record_bisection(pipeline, new)

    def _difference(self, timeline: "Timeline", answer: "Boundary") -> Difference | None:
        """Return what the first bad entry changed, as far as it can be shown: the answer is known without it."""
        before, after = (timeline.moments[index] for index in (answer.first_bad - 1, answer.first_bad))
        op = None if after.change is None else after.change.op
        if answer.skipped or op is None or None in (before.numbers[op], after.numbers[op]):
            return None
        one, other = (f"{op}@{each.numbers[op]}" for each in (before, after))
        from opstore_cli.client.bisection_search import CANT_BE_PULLED

        diff: Callable[..., Difference] = self.diff  # type: ignore[attr-defined]
        with suppress(errors.VersionRemoved):
            try:
                return diff(one, other)
            except CANT_BE_PULLED:
                return diff(one, other, files=False)
        return None


def _new_bisection(
    runnable: "Runnable", timeline: "Timeline", answer: "Boundary", searched: "BisectionSearch"
) -> NewBisection:
    def position(index: int) -> int:
        return timeline.moments[index].position

    return NewBisection(
        command=runnable.command,
        script=None if runnable.script is None else runnable.script.digest,
        good=timeline.since,
        bad=timeline.moments[-1].position,  # stays the same if only other entries follow
        last_good=position(answer.last_good),
        first_bad=position(answer.first_bad),
        skipped=tuple(map(position, answer.skipped[-MOST:])),
        runs=tuple(run.position for run in searched.deciding_runs(answer)[-MOST:]),
    )


def _answer(bisection: NewBisection | BisectionRecord) -> tuple[object, ...]:
    ends = bisection.good, bisection.bad
    return bisection.command, bisection.script, ends, bisection.last_good, bisection.first_bad, bisection.skipped
