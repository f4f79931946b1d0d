"""Verdicts, resolutions and locks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.client import environments, locks, polling
from opstore_cli.client.mixin import ApiMixin, as_parameter, ignore, parse_references
from opstore_cli.transport import expected
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.limits import MAX_TIMEOUT
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    Affected,
    Check,
    Lock,
    Resolution,
    Upgrade,
    Validation,
    VersionRecord,
)
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import AsOf, When
from opstore_daemon.protocol.versions import VersionNumber

if TYPE_CHECKING:
    from opstore_cli.objects.environment import Environment

Notify = Callable[[Validation], None]


class ValidityMixin(ApiMixin):
    """Verbs for verdicts, resolutions and locks.

    Names and references are strings or parsed; all raise InvalidName, and InvalidReference or InvalidVersion for a
    reference. `as_of`: the state at a position of the journal or at a time (RFC 3339).
    """

    def validate(
        self,
        upstream: str | Reference,
        downstream: str | Reference,
        *,
        as_of: When | None = None,
        environment: bool | Path | str = False,
    ) -> Validation:
        """Return the verdict for one edge. The result is true only if it is valid.

        Args:
            upstream: the upstream version; without a selector the latest.
            downstream: the downstream version; without a selector the latest.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.
            environment: compares the libraries of the versions, as for `validate_pipeline`.

        Returns:
            Validation: `verdict` is `valid`, `invalid` or `unknown`; its one edge has the reason.

        Raises:
            OpNotFound: an op does not exist.
            VersionNotFound: a version does not exist.
            FileRefused: the file of the environment can't be read.

        Examples:
            >>> if client.validate("pca@1.0.0", "forest"):
            ...     print("deploy")
            deploy
        """
        return self._ask(_Question.of_edge(upstream, downstream, as_of), environment)

    def validate_pipeline(
        self,
        pipeline: str,
        *,
        use: Sequence[str | Reference] = (),
        as_of: When | None = None,
        exact_set: bool = False,
        environment: bool | Path | str = False,
    ) -> Validation:
        """Return the verdict over all edges between the latest versions of a pipeline's ops.

        The result is true only if all of them are valid.

        Args:
            pipeline: the name of the pipeline.
            use: references of versions that count as the latest of their ops.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.
            exact_set: also require that the newest run of exactly these versions together passed.
            environment: compares the libraries that the versions were saved with to those of this Python (True), or to
                those that a file such as requirements.txt or uv.lock names (its path). The result has an edge to
                `environment` for each difference, with the basis `environment`.

        Returns:
            Validation: a sequence of the verdicts of the edges, each with its reason. `run` is the newest run of
                exactly these versions that passed or failed, None if there is none.

        Raises:
            PipelineNotFound: the pipeline does not exist.
            OpNotFound: an op of `use` does not exist.
            VersionNotFound: a version of `use` does not exist.
            FileRefused: the file of the environment can't be read.

        Examples:
            >>> client.validate_pipeline("iris", use="pca@1.0.0").verdict
            'valid'
        """
        return self._ask(_Question.of_pipeline(pipeline, use, as_of, exact_set=exact_set), environment)

    def _ask(self, question: "_Question", environment: bool | Path | str) -> Validation:
        there = environments.load(environment)
        found = self._api.request("GET", question.path, Validation, parameters=question.parameters)
        return self._compared(self._expect_answer(found, question), there, question.parameters["as_of"])

    def _compared(self, found: Validation, environment: "Environment | None", as_of: When | None = None) -> Validation:
        """Return the verdict with the differences between the libraries of its versions and the environment."""
        if environment is None:
            return found

        def show(op: str, version: str) -> VersionRecord:
            # Not self.show(): the verdict has warned of yanked versions already.
            path = routes.path(routes.VERSION, op=op, selector=version)
            record = self._api.request("GET", path, VersionRecord, parameters={"as_of": as_of})
            return self._api.check(record, op, VersionNumber.parse(version))

        return environments.compare(found, environment, show)

    def _expect_answer(self, found: Validation, question: "_Question") -> Validation:
        """Return the verdict if it answers the question. Raises UnexpectedResponse."""
        self._api.expect(found, question.is_answer(found), question.text)
        # The graph of a past state can't be requested.
        if found.pipeline is not None and question.parameters["as_of"] is None:
            ops = [version.op for version in found.versions]
            self._check_graph(found.pipeline, found, ops, expected.pairs(found.edges))
        return found

    def _check_graph(self, pipeline: str, found: object, ops: Sequence[str], edges: expected.Edges) -> None:
        """Raise UnexpectedResponse if an op has no edge that has one in the pipeline.

        Few pipelines have an op without an edge: only these need a request for the graph.
        """
        if expected.has_op_without_edge(ops, edges):
            graph = self.pipeline(pipeline)
            fits = set(graph.ops) == set(ops) and set(graph.edges) == set(edges)
            self._api.expect(found, fits, f"all edges of the pipeline {pipeline}")

    def wait(
        self,
        *subject: str | Reference,
        seconds: float,
        use: Sequence[str | Reference] = (),
        exact_set: bool = False,
        notify: Notify | None = None,
        environment: bool | Path | str = False,
    ) -> Validation:
        """Poll a verdict until it is valid or known to be invalid, or `seconds` are over.

        Known to be invalid means that a link says so, or with `exact_set` that a run failed; a version that is merely
        not validated may become valid. Polling continues while the daemon can't be reached; that error is raised at
        the end.

        Args:
            subject: one pipeline, or an upstream and a downstream version.
            seconds: how long to wait; `math.inf` waits on.
            use: for a pipeline, references of versions that count as the latest of their ops.
            exact_set: for a pipeline, also require that the newest run of exactly these versions together passed.
            notify: called with each new verdict.
            environment: compares the libraries of the last verdict's versions, as for `validate_pipeline`.

        Returns:
            Validation: the last verdict.

        Raises:
            PipelineNotFound: the pipeline does not exist.
            OpNotFound: an op does not exist.
            VersionNotFound: a version does not exist.
            InvalidRequest: the subject is neither.
            FileRefused: the file of the environment can't be read.
            Unreachable: the daemon can't be reached, even at the end.

        Examples:
            >>> client.wait("pca@1.0.0", "forest", seconds=60).verdict
            'valid'
        """
        question, there = _Question.of(subject, use, exact_set=exact_set), environments.load(environment)

        def fetch(etag: str | None) -> tuple[Validation | None, str | None]:
            found, etag = self._api.get_if_changed(question.path, Validation, question.parameters, etag)
            return None if found is None else self._expect_answer(found, question), etag

        return self._compared(polling.until_known(fetch, seconds, notify or ignore), there)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str | Reference] = (),
        lock: Lock | Path | str | None = None,
        upgrade: str | None = None,
        as_of: When | None = None,
        timeout: float | None = None,
    ) -> Resolution:
        """Return the newest versions of a pipeline's ops that are valid together.

        Args:
            pipeline: the name of the pipeline.
            use: references of versions that count as the latest of their ops.
            lock: the lock of an earlier resolution, or the path of its file; it needs `upgrade`.
            upgrade: the op of the lock that gets its newest possible version; others only move if they must.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.
            timeout: seconds above 0, in addition to the daemon's own limit; a fraction is rounded up.

        Returns:
            Resolution: a sequence of `VersionRecord`, one for each op; `skipped` has the newer versions, with reasons.

        Raises:
            NoResolution: no versions are valid together: NoSet, or NoSetKnown if only links are missing. Its
                `resolution` has the conflict.
            PipelineNotFound: the pipeline does not exist.
            OpNotFound: an op of `use` does not exist.
            VersionNotFound: a version of `use` does not exist.
            LockConflict: the store has other bytes for a version of the lock.
            ResolutionTooHard: a limit was reached.

        Examples:
            >>> [str(version) for version in client.resolve("iris")]
            ['pca@1.0.0', 'forest@1.0.0']
        """
        name = PipelineName.parse(pipeline)
        parameters = {"as_of": as_of, "timeout": None if timeout is None else _timeout(timeout)}
        if lock is not None and upgrade is not None:
            lock, _ = locks.load(lock)
            body = Upgrade(lock=lock, op=OpName.parse(upgrade), use=parse_references(use))
            path = routes.path(routes.UPGRADE, pipeline=name)
            found = self._api.request("POST", path, Resolution, body=body, parameters=parameters)
        elif lock is None and upgrade is None:
            path, query = routes.path(routes.RESOLUTION, pipeline=name), {"use": as_parameter(use), **parameters}
            found = self._api.request("GET", path, Resolution, parameters=query)
        else:
            raise errors.InvalidRequest(reason="an upgrade needs both a lock and the op to upgrade")
        kept = not isinstance(lock, Lock) or locks.is_kept(lock, found.versions)
        fits = expected.is_resolution(found, pipeline) and kept
        self._api.expect(found, fits, f"the resolution of {pipeline}")
        if not found.versions:
            raise no_resolution(found, as_of)
        if as_of is None:
            self._check_graph(pipeline, found, [version.op for version in found.versions], found.edges)
        return found

    def write_lock(self, resolution: Resolution, path: Path | str) -> None:
        """Write the lock file of a resolution, as `opstore resolve --lock` does.

        `pull_lock`, `check_lock` and `resolve` read it. The same resolution gives the same bytes.

        Args:
            resolution: what `resolve` returned.
            path: the path of a new file, or of a lock, which is replaced.

        Raises:
            FileRefused: something other than a lock is at the path.
            OutputFailed: the file can't be written.

        Examples:
            >>> client.write_lock(client.resolve("iris"), "opstore.lock")
            >>> bool(client.check_lock("iris", "opstore.lock"))
            True
        """
        from opstore_cli import lockfile

        lockfile.write(Path(path), lockfile.of_versions(resolution.pipeline, resolution.edges, resolution.versions))

    def read_lock(self, path: Path | str) -> Lock:
        """Return the lock in a file, which `opstore resolve --lock` or `write_lock` wrote.

        Args:
            path: the path of the file.

        Returns:
            Lock: for the verbs that take one, such as `tag`.

        Raises:
            FileRefused: the file can't be read, or is no lock.

        Examples:
            >>> client.write_lock(client.resolve("iris"), "opstore.lock")
            >>> [str(tag.tag) for tag in client.tag(client.read_lock("opstore.lock"), "live")]
            ['live', 'live']
        """
        lock, _ = locks.load(path)
        return lock

    def check_lock(self, pipeline: str, lock: Lock | Path | str) -> Check:
        """Return whether a lock still holds: the same edges, no version yanked or removed, and every edge valid.

        Args:
            pipeline: the name of the pipeline.
            lock: `Resolution.lock()` of an earlier resolution, or the path of its file.

        Returns:
            Check: true if the lock holds; else `findings` has the reasons.

        Raises:
            PipelineNotFound: the pipeline does not exist.
            LockConflict: the store has other bytes for a version of the lock.
            FileRefused: the file is no lock.

        Examples:
            >>> bool(client.check_lock("iris", client.resolve("iris").lock()))
            True
        """
        path = routes.path(routes.CHECK, pipeline=PipelineName.parse(pipeline))
        lock, _ = locks.load(lock)
        found = self._api.request("POST", path, Check, body=lock)
        return self._api.expect(found, expected.is_check(found, pipeline, lock), f"the check of a lock of {pipeline}")

    def affected(
        self, reference: str | Reference, *, pipeline: str | None = None, as_of: When | None = None
    ) -> Affected:
        """Return the downstream ops, direct and indirect, for which a version is not valid: what to retrain.

        Args:
            reference: the upstream version.
            pipeline: only within this pipeline.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            Affected: a sequence of `AffectedOp`, each with its reason; it is true if there is any.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            PipelineNotFound: the pipeline does not exist.
            TooMuchWork: too many ops would have to be looked at.

        Examples:
            >>> [each.op for each in client.affected("pca")]
            ['forest']
        """
        parsed = Reference.parse(reference)
        parameters = {"reference": str(parsed), "pipeline": pipeline, "as_of": as_of}
        found = self._api.request("GET", routes.AFFECTED, Affected, parameters=parameters)
        return self._api.expect(found, expected.is_affected(found, parsed), f"what {parsed} affects")


def no_resolution(found: Resolution, as_of: When | None = None) -> errors.NoResolution:
    """Return the error for a resolution without versions, as of a past state if `as_of` is given."""
    kind = errors.NoSetKnown if found.verdict == "unknown" else errors.NoSet
    error = kind(pipeline=found.pipeline)
    error.resolution = found
    return error.at(as_of, as_of.with_words) if isinstance(as_of, AsOf) else error


@dataclass(frozen=True, slots=True)
class _Question:
    """A request for a verdict: its path, its parameters, its text in errors, and which verdicts answer it."""

    path: str
    parameters: dict[str, Any]
    text: str
    is_answer: Callable[[Validation], bool]

    @classmethod
    def of(
        cls, subject: Sequence[str | Reference], use: Sequence[str | Reference], *, exact_set: bool = False
    ) -> "_Question":
        """Return the question about one pipeline or two versions; raises InvalidRequest for anything else."""
        match subject:
            case [pipeline]:
                return cls.of_pipeline(pipeline, use, exact_set=exact_set)
            case [upstream, downstream]:
                return cls.of_edge(upstream, downstream)
        raise errors.InvalidRequest(reason="wait() takes one pipeline, or one upstream and one downstream version")

    @classmethod
    def of_edge(cls, upstream: str | Reference, downstream: str | Reference, as_of: When | None = None) -> "_Question":
        up, down = parse_references([upstream, downstream])
        parameters = {"upstream": str(up), "downstream": str(down), "as_of": as_of}
        text = f"the verdict of {up} for {down}"
        return cls(routes.VERDICT, parameters, text, lambda found: expected.is_verdict(found, up, down))

    @classmethod
    def of_pipeline(
        cls, pipeline: str, use: Sequence[str | Reference], as_of: When | None = None, *, exact_set: bool = False
    ) -> "_Question":
        name, used = PipelineName.parse(pipeline), parse_references(use)
        path = routes.path(routes.PIPELINE_VERDICT, pipeline=name)
        parameters = {"use": as_parameter(used), "as_of": as_of, "exact_set": "1" if exact_set else None}
        text = f"the verdict of the pipeline {name}"

        def is_answer(found: Validation) -> bool:
            return expected.is_pipeline_verdict(found, name, used, exact_set=exact_set)

        return cls(path, parameters, text, is_answer)


def _timeout(seconds: float) -> int:
    """Return the seconds as the daemon takes them; more than its maximum is the maximum."""
    if seconds <= 0:
        raise errors.InvalidArgument(argument="timeout", expected="above 0 seconds", actual=f"{seconds:g}", advice="")
    return math.ceil(min(seconds, MAX_TIMEOUT))
