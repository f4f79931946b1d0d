"""Runs of commands on sets of versions, and the links that they are evidence for."""

from collections.abc import Sequence

from sqlalchemy import Connection

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    LinkRecord,
    NewRun,
    PipelineRecord,
    RecordedRun,
    RunRecord,
    RunResult,
    Runs,
)
from opstore_daemon.protocol.records.runs import MAX_COMMAND, command_text
from opstore_daemon.protocol.records.short_text import one_line
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.version_sets import command_digest, set_digest
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.store.catalog import links, ops, pipelines, references, runs
from opstore_daemon.store.catalog.links import LinkKey
from opstore_daemon.store.catalog.runs import MAX_RUNS, RunFilter
from opstore_daemon.store.journal import Stamp
from opstore_daemon.store.paging import check_limit, collect, next_cursor
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.store.transactions import Transactions


class RunOperations(Transactions):
    """Record runs, and list them."""

    def record_run(self, pipeline: str, new_run: NewRun) -> RecordedRun:
        """Record a run and, if it passed, the links that it is evidence for (protocol.interface)."""
        name = PipelineName.parse(pipeline)
        chosen = _versions(new_run)

        def work(connection: Connection) -> RecordedRun:
            snapshot = Snapshot(connection)
            graph = pipelines.get(snapshot, name)
            _check_graph(graph, new_run, chosen)
            own = ops.get_all(snapshot, map(OpName, graph.ops))
            rows = {op: references.resolve_reference(snapshot, own[op].id, chosen[OpName(op)]) for op in graph.ops}
            digest = set_digest(graph.edges, {op: row.version for op, row in rows.items()})
            stamp = self._stamp()
            run = runs.record(connection, name, digest, list(rows.values()), new_run, stamp)
            if new_run.result != "passed":
                return RecordedRun(run=run)
            keys = [LinkKey(rows[up], own[down], rows[down]) for up, down in graph.edges]
            recorded, kept = _record_links(connection, keys, new_run, run, stamp)
            return RecordedRun(run=run, links=tuple(recorded), kept_invalid=tuple(kept))

        return self._write(RecordedRun, work)

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
        """Return runs, newest first (protocol.interface)."""
        words = command_digest(command) if command else None

        def fetch(below: int | None, most: int) -> tuple[Sequence[RunRecord], str | None]:
            page = self.runs_page(
                pipeline,
                below,
                most,
                version=version,
                set_digest=set,
                result=result,
                command=words,
                script=script,
            )
            return page.rows, page.next_cursor

        return collect(fetch, check_limit(limit))

    def runs_page(
        self,
        pipeline: str | None,
        below: int | None,
        limit: int,
        *,
        version: str | Reference | None = None,
        set_digest: str | None = None,
        result: RunResult | None = None,
        command: str | None = None,
        script: str | None = None,
        as_of: str | None = None,
    ) -> Runs:
        """Return a page of runs, newest first: at most `limit` runs below a position, and at most MAX_RUNS.

        `command` is the digest of its words (protocol.version_sets).
        """
        name = None if pipeline is None else PipelineName.parse(pipeline)
        reference = None if version is None else Reference.parse(version)
        digests = [None if text is None else Digest.parse(text) for text in (set_digest, command, script)]
        most = min(limit, MAX_RUNS)
        with self._snapshot(as_of) as snapshot:
            if name is not None:
                pipelines.check_known(snapshot, name)
            version_id = None if reference is None else references.find_id(snapshot, reference)
            filter_ = RunFilter(name, version_id, digests[0], result, digests[1], digests[2])
            page = runs.records(snapshot, filter_, below, most)
        return Runs(runs=tuple(page), next_cursor=next_cursor(page, most, lambda run: str(run.position)))

    def run(self, position: int, *, as_of: str | None = None) -> RunRecord:
        """Return one run (protocol.interface); raise RunNotFound if `as_of` is before it."""
        with self._snapshot(as_of) as snapshot:
            return runs.get(snapshot, position)

    def run_output(self, position: int) -> str:
        """Return what the store keeps of the output of a run (protocol.interface)."""
        with self._snapshot() as snapshot:
            return runs.output(snapshot, position)


def _versions(new: NewRun) -> dict[OpName, Reference]:
    """Return the references of the run by op; raise InvalidRequest unless they are a set on the run's edges."""
    check_command(new.command)
    _check_exit_code(new)
    chosen: dict[OpName, Reference] = {}
    for reference in map(Reference.parse, new.versions):
        if not isinstance(reference.selector, VersionNumber):
            raise errors.InvalidRequest(
                reason=f"a run names its versions by number, such as pca@1.0.0, not {reference}"
            )
        if reference.op in chosen:
            raise errors.InvalidRequest(reason=f"the run has two versions of {reference.op}")
        chosen[reference.op] = reference
    for op in dict.fromkeys(op for edge in new.edges for op in edge):
        if op not in chosen:
            raise errors.InvalidRequest(reason=f"the run has no version of {op}, which is in its edges")
    return chosen


def check_command(command: Sequence[str]) -> None:
    """Raise InvalidRequest if the command is too long: a page of runs has many."""
    if sum(map(len, command)) > MAX_COMMAND:
        raise errors.InvalidRequest(reason=f"the command of a run may have at most {MAX_COMMAND} characters")


def _check_exit_code(new: NewRun) -> None:
    """Raise InvalidRequest if the exit code contradicts the result; a function has none."""
    if new.exit_code is not None and new.result != "unknown" and (new.exit_code == 0) != (new.result == "passed"):
        raise errors.InvalidRequest(reason=f"a run with exit code {new.exit_code} has not {new.result}")


def _check_graph(graph: PipelineRecord, new: NewRun, chosen: dict[OpName, Reference]) -> None:
    """Raise PipelineChanged unless the pipeline has the ops and the edges of the run."""

    def parts(ops: Sequence[str], edges: Sequence[tuple[str, str]]) -> set[str]:
        return {*ops, *(f"{up} -> {down}" for up, down in edges)}

    now, then = parts(graph.ops, graph.edges), parts(list(chosen), new.edges)
    differences = [f"it lacks {each}" for each in sorted(then - now)] + [
        f"it has {each}" for each in sorted(now - then)
    ]
    if differences:
        raise errors.PipelineChanged(pipeline=graph.name, difference=one_line(", ".join(differences), 300))


def _record_links(
    connection: Connection,
    keys: Sequence[LinkKey],
    new: NewRun,
    run: RunRecord,
    stamp: Stamp,
) -> tuple[list[LinkRecord], list[LinkRecord]]:
    """Record the edges of a set whose run passed as valid; return these links, and the known-invalid ones it kept."""
    snapshot = Snapshot(connection)
    evidence = _evidence(new, run.position)
    recorded: list[LinkRecord] = []
    kept: list[LinkRecord] = []
    for key in keys:
        before = links.deciding(connection, key)
        if before is not None and not before.valid:
            kept.append(before)
        elif before is None or before.run is None or not runs.has_same_test(snapshot, before.run, new):
            recorded.append(links.record_evidence(connection, key, evidence, run.position, stamp))
    return recorded, kept


def _evidence(new: NewRun, position: int) -> str:
    """Return the evidence of a link in words: `run 45: python eval.py passed in 3.2 s, script sha256:1a2b3c4d5e6f`."""
    parts = [f"run {position}: {command_text(new.command)} passed in {new.duration:.1f} s"]
    if new.script is not None:
        parts.append(f"script {new.script[:19]}")
    if new.commit is not None:
        dirty = "-dirty" if new.commit.endswith("-dirty") else ""
        parts.append(f"commit {new.commit[:7]}{dirty}")
    return ", ".join(parts)
