"""Runs of commands on sets of versions, how sets changed, and bisections: record them and list them."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from opstore_cli.client.mixin import ApiMixin
from opstore_cli.transport import expected
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import MAX_OUTPUT
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import (
    BisectionRecord,
    Bisections,
    NewBisection,
    NewRun,
    RecordedRun,
    RunRecord,
    RunResult,
    Runs,
    SetHistory,
)
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import When
from opstore_daemon.protocol.version_sets import command_digest

MAX_OUTPUT_SIZE = 4 * MAX_OUTPUT  # bytes: UTF-8 has at most four for a character


class RunsMixin(ApiMixin):
    """The verbs about runs and bisections."""

    def record_run(self, pipeline: str, new_run: NewRun) -> RecordedRun:
        """Record a run of a command on a set of versions of a pipeline; `verify` calls it.

        If the run passed, each edge of the set is recorded as valid, with the run as evidence. A link that somebody
        recorded as invalid is kept.

        Args:
            pipeline: the name of the pipeline.
            new_run: the run: the edges of the pipeline, a version of each op, the command, and what it showed.

        Returns:
            RecordedRun: the run with its position, which names it, the links that it recorded, and the links that it
            kept although they say that the versions are not valid together.

        Raises:
            PipelineNotFound: there is no such pipeline.
            PipelineChanged: the pipeline has other ops or edges than the run.
            VersionNotFound: there is no such version.
            InvalidRequest: the versions are not one of each op, or not given by their numbers.

        Examples:
            >>> recorded = client.record_run("iris", run)
            >>> recorded.run
            <RunRecord 8: python eval.py passed, exit code 0>
            >>> recorded.links
            ()
        """
        name, checked = PipelineName.parse(pipeline), _checked(new_run, NewRun)
        path = routes.path(routes.NEW_RUNS, pipeline=name)
        recorded = self._api.request("POST", path, RecordedRun, body=checked)
        return self._api.expect(recorded, expected.is_recorded_run(recorded, name, checked), f"a run of {name}")

    def runs(
        self,
        pipeline: str | None = None,
        *,
        version: str | Reference | None = None,
        set: str | None = None,  # noqa: A002 - the record's word
        result: RunResult | None = None,
        command: Sequence[str] = (),
        script: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Return runs of commands on sets of versions, newest first.

        Args:
            pipeline: only runs of this pipeline.
            version: only runs of sets with this version.
            set: only runs of the set with this digest.
            result: only runs with this result: `passed`, `failed` or `unknown`.
            command: only runs of the command with these words.
            script: only runs of the script with this digest.
            limit: the most runs to return.

        Returns:
            list of RunRecord: `position` names a run, for `run` and `run_output`.

        Raises:
            PipelineNotFound: there never was such a pipeline.
            OpNotFound: the op of the version does not exist.
            VersionNotFound: there is no such version.
            InvalidDigest: a digest is malformed.

        Examples:
            >>> client.runs("iris", result="passed")
            [<RunRecord 6: python eval.py passed, exit code 0>]
        """
        wanted = expected.RunFilter(
            pipeline=None if pipeline is None else PipelineName.parse(pipeline),
            version=None if version is None else Reference.parse(version),
            set=None if set is None else Digest.parse(set),
            result=result,
            command=tuple(command),
            script=None if script is None else Digest.parse(script),
        )
        parameters = {
            "pipeline": wanted.pipeline,
            "version": wanted.version,
            "set": wanted.set,
            "result": result,
            "command": command_digest(command) if command else None,
            "script": wanted.script,
        }
        return [
            self._api.expect(run, expected.is_run(run, wanted), f"the runs of {pipeline or 'all pipelines'}")
            for page in self._api.pages(routes.RUNS, Runs, parameters, limit)
            for run in page.rows
        ]

    def run(self, position: int) -> RunRecord:
        """Return one run.

        Args:
            position: its position in the journal.

        Returns:
            RunRecord: the command, the versions, and what the command showed.

        Raises:
            RunNotFound: there is no run at that position.

        Examples:
            >>> client.run(6).result
            'passed'
        """
        found = self._api.request("GET", routes.path(routes.RUN, run=str(position)), RunRecord)
        return self._api.expect(found, found.position == position, f"the run {position}")

    def set_history(self, pipeline: str, *, since: When | None = None, until: When | None = None) -> SetHistory:
        """Return how the latest versions of a pipeline's ops changed, oldest change first.

        Args:
            pipeline: the name of the pipeline, with the ops that it has now.
            since: only changes after that: a position of the journal, a time as text, or a `datetime`. None: all.
            until: only changes up to that. None: up to now.

        Returns:
            SetHistory: the latest versions as of `since`, and the entries that changed one, each with its position.

        Raises:
            PipelineNotFound: there is no such pipeline.
            InvalidRequest: `until` is before `since`.
            TooMuchWork: the ops have too many versions.

        Examples:
            >>> history = client.set_history("iris", since=2)
            >>> [str(version) for version in history.versions]
            ['pca@1.0.0', 'forest@1.0.0']
            >>> [(change.position, change.op, change.version) for change in history.changes]
            [(4, 'pca', '2.0.0')]
        """
        name = PipelineName.parse(pipeline)
        path = routes.path(routes.SET_HISTORY, pipeline=name)
        pages: list[SetHistory] = []
        for page in self._api.pages(path, SetHistory, {"since": since, "until": until}):
            fits = expected.is_set_history(page, name, pages[-1] if pages else None)
            pages.append(self._api.expect(page, fits, f"the history of {name}"))
        changes = tuple(change for page in pages for change in page.changes)
        return msgspec.structs.replace(pages[-1], changes=changes)

    def run_output(self, position: int) -> str:
        """Return what the command of a run printed: the beginning and the end of it, if it was long.

        It is the text of a program: escape it before you print it to a terminal.

        Args:
            position: the run's position in the journal.

        Returns:
            str: the output.

        Raises:
            RunNotFound: there is no run at that position.

        Examples:
            >>> client.run_output(6)
            'accuracy 0.93\\n'
        """
        path = routes.path(routes.RUN_OUTPUT, run=str(position))
        return self._api.text(path, MAX_OUTPUT_SIZE)

    def record_bisection(self, pipeline: str, new_bisection: NewBisection) -> BisectionRecord:
        """Record which entry of the journal broke a pipeline; `bisect` calls it.

        Args:
            pipeline: the name of the pipeline.
            new_bisection: the command, the positions between which it searched, and what it found.

        Returns:
            BisectionRecord: the entry that broke the pipeline, and the last good set.

        Raises:
            PipelineNotFound: there is no such pipeline.
            PipelineChanged: the pipeline was registered again meanwhile.
            InvalidRequest: the positions are out of order, or an entry changed no latest version.
            TooMuchWork: the ops have too many versions.

        Examples:
            >>> bisection = client.record_bisection("iris", found)
            >>> bisection
            <BisectionRecord iris, broken by pca 2.0.0, position 4>
            >>> [str(version) for version in bisection.last_good_versions]
            ['pca@1.0.0', 'forest@1.0.0']
        """
        name, checked = PipelineName.parse(pipeline), _checked(new_bisection, NewBisection)
        path = routes.path(routes.NEW_BISECTIONS, pipeline=name)
        recorded = self._api.request("POST", path, BisectionRecord, body=checked)
        fits = expected.is_recorded_bisection(recorded, name, checked)
        return self._api.expect(recorded, fits, f"a bisection of {name}")

    def bisections(self, pipeline: str | None = None, *, limit: int | None = None) -> list[BisectionRecord]:
        """Return the results of bisections, newest first.

        Args:
            pipeline: only those of this pipeline.
            limit: the most bisections to return.

        Returns:
            list of BisectionRecord: `culprit` is the entry that broke the pipeline.

        Raises:
            PipelineNotFound: there never was such a pipeline.

        Examples:
            >>> client.bisections("iris")
            []
        """
        name = None if pipeline is None else PipelineName.parse(pipeline)
        return [
            self._api.expect(each, expected.is_bisection(each, name), f"the bisections of {name or 'all pipelines'}")
            for page in self._api.pages(routes.BISECTIONS, Bisections, {"pipeline": name}, limit)
            for each in page.rows
        ]


T = TypeVar("T", NewRun, NewBisection)


def _checked(new: T, kind: type[T]) -> T:
    """Return the record with typed values; raise what the daemon would raise, before anything is sent."""
    try:
        return records.decode(records.encode(new), kind)
    except UnicodeEncodeError as error:
        surrogate = error.object[error.start]
        reason = f"the request contains the lone surrogate {surrogate!r}, which UTF-8 can't represent"
        raise errors.InvalidRequest(reason=reason) from None
