"""Verify a set of versions: run a command or a function on it, and record what it showed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.client import locks
from opstore_cli.client.catalog import CatalogMixin
from opstore_cli.client.pulls import PullsMixin
from opstore_cli.client.runs import RunsMixin
from opstore_cli.client.validity import ValidityMixin
from opstore_cli.client.versions import VersionsMixin
from opstore_cli.objects.mixin import ObjectsMixin
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Lock, RecordedRun, VersionRecord
from opstore_daemon.protocol.records.runs import MAX_COMMAND
from opstore_daemon.protocol.references import Reference
from opstore_daemon.system.stray_bytes import escape_stray_bytes

if TYPE_CHECKING:
    from opstore_cli.client.set_runs import Place, VersionSet
    from opstore_cli.evidence.runnable import CommandRunnable, Runnable
    from opstore_cli.evidence.script import Script
    from opstore_cli.evidence.watcher import Watcher

MAX_WORDS, MAX_WORD = 1000, 16384  # of a command, and characters of one of its words
MAX_REPEAT = 1000
MAYBE_RECORDED = "the run may have been recorded: opstore runs shows it if it was"

Function = Callable[[Mapping[str, Any]], object]


class VerificationMixin(PullsMixin, VersionsMixin, CatalogMixin, ValidityMixin, RunsMixin, ObjectsMixin):
    """The verb `verify`."""

    def verify(
        self,
        pipeline: str,
        command_or_function: Sequence[str] | Function,
        *,
        use: Sequence[str | Reference] = (),
        lock: Lock | Path | str | None = None,
        resolved: bool = False,
        folder: Path | str | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        repeat: int = 1,
        script_path: Path | str | None = None,
        load: bool = False,
    ) -> RecordedRun:
        """Run a command or a function on a set of versions, and record what it showed.

        If it passes, every edge of the pipeline is recorded as valid for exactly these versions, with the run as
        evidence; a link that somebody recorded as invalid stays. Failures are recorded as runs, too. A command runs
        without a shell and finds the files by the variables OPSTORE_DIR and OPSTORE_OP_<NAME>.

        Args:
            pipeline: the name of the pipeline.
            command_or_function: a command as a sequence of words, which passes with exit code 0, can't tell with 125
                and fails with any other; or a function of a mapping of ops to the paths of their files, which passes
                if it returns True or None, can't tell if it raises `opstore_cli.CantTell`, and fails if it returns
                False or raises any other exception.
            use: references of versions to use in place of the latest ones.
            lock: use the versions of this lock, or of the lock file at this path.
            resolved: use the newest versions that are valid together, not the latest ones.
            folder: the folder to pull to, which stays, with a lock beside it. By default it is a temporary one.
            overwrite: replace what is in the folder.
            timeout: seconds after which a command is ended; the result is then unknown.
            repeat: how often to run it; if two results differ, the result is unknown.
            script_path: the path of the file whose digest says whether another run ran the same code. By default it is
                the file that the command names, or that the function is in.
            load: pass the objects to the function, as `load` returns them, in place of paths.

        Returns:
            RecordedRun: it is true only if every edge is valid now. Its `run` has the result and the reason.

        Raises:
            CommandNotStarted: the command was not found or can't be executed.
            PipelineNotFound: the pipeline does not exist.
            PipelineChanged: the pipeline has another graph by now, or than the lock. Nothing was recorded.
            VersionNotFound: an op has no version, or not that of `use` or the lock.
            NoResolution: with `resolved`, no versions are valid together.
            LockConflict: the store has other bytes for a version of the lock.
            OutputExists: something else is in the folder.
            FileRefused: the script or the lock can't be read.
            InvalidRequest: arguments are mutually exclusive, or the lock is of another pipeline.

        Examples:
            >>> bool(client.verify("iris", lambda paths: paths["forest"].stat().st_size > 0))
            True
        """
        from opstore_cli.client.set_runs import Place
        from opstore_cli.client.watching import ClientWatcher

        runnable = self._runnable(command_or_function, script_path, load=load, timeout=timeout)
        return self._verify(
            pipeline,
            runnable,
            ClientWatcher(self._progress),
            use=use,
            lock=lock,
            resolved=resolved,
            place=Place(None if folder is None else Path(folder), overwrite),
            timeout=timeout,
            repeat=repeat,
        )

    def _verify(
        self,
        pipeline: str,
        runnable: "Runnable",
        watcher: "Watcher",
        *,
        use: Sequence[str | Reference] = (),
        lock: Lock | Path | str | None = None,
        resolved: bool = False,
        place: "Place",
        timeout: float | None = None,
        repeat: int = 1,
    ) -> RecordedRun:
        """Verify as `verify` does, for a watcher."""
        check_limits(timeout, repeat)
        runnable.check()  # before anything is requested
        found = self._version_set(PipelineName.parse(pipeline), use, lock, resolved=resolved)
        return self._run_and_record(found, runnable, watcher, place, timeout, repeat)

    def _run_on_set(
        self,
        pipeline: str,
        edges: Sequence[tuple[str, str]],
        versions: Sequence[VersionRecord],
        runnable: "Runnable",
        *,
        timeout: float | None = None,
        repeat: int = 1,
        watcher: "Watcher | None" = None,
    ) -> RecordedRun:
        """Run it on these versions, one of each op, in a temporary folder, and record the run.

        Raises CommandNotStarted, PipelineChanged, what a pull raises, and KeyboardInterrupt.
        """
        from opstore_cli.client.set_runs import Place, VersionSet
        from opstore_cli.client.watching import ClientWatcher

        check_limits(timeout, repeat)
        found = VersionSet(PipelineName.parse(pipeline), edges, versions)
        return self._run_and_record(found, runnable, watcher or ClientWatcher(self._progress), Place(), timeout, repeat)

    def _runnable(
        self,
        command_or_function: Sequence[str] | Function,
        script: Path | str | None,
        *,
        load: bool = False,
        timeout: float | None = None,
    ) -> "Runnable":
        """Return what is to be run, with the digest of its script. Raises InvalidRequest and FileRefused.

        A command can't be given objects to `load`, and a function has no `timeout`.
        """
        from opstore_cli.evidence.script import named_script

        named = None if script is None else named_script(script)
        if not callable(command_or_function):
            if load:
                raise errors.InvalidRequest(reason="load=True is for a function: a command gets paths")
            return self._command(command_or_function, named)
        if timeout is not None:
            raise errors.InvalidRequest(reason="a function can't be ended, so timeout is for commands only")
        from opstore_cli.evidence.function import FunctionRunnable

        def load_version(version: VersionRecord) -> object:
            return self.load(Reference.of(version.op, version.version))

        return FunctionRunnable.of(command_or_function, named, load_version if load else None)

    def _command(self, words: Sequence[str], script: "Script | None") -> "CommandRunnable":
        from opstore_cli.evidence.runnable import CommandRunnable
        from opstore_cli.evidence.script import script_of

        command = tuple(words)
        _check_command(command)
        # Its own `opstore` finds the daemon as this one did, unless an option named it.
        settings = getattr(self, "settings", None)
        further = {"OPSTORE_URL": settings.url} if settings is not None and settings.origin == "option" else {}
        return CommandRunnable(command, script or script_of(command), further)

    def _run_and_record(
        self,
        found: "VersionSet",
        runnable: "Runnable",
        watcher: "Watcher",
        place: "Place",
        timeout: float | None,
        repeat: int,
    ) -> RecordedRun:
        from opstore_cli.client import set_runs

        run = set_runs.run(self.start_pull, found, runnable, watcher, place, timeout=timeout, repeat=repeat)
        watcher.recording()
        try:
            return self.record_run(found.pipeline, run)
        except errors.ConnectionLost:  # the request may have arrived
            watcher.note(f"it {set_runs.describe(run)}; {MAYBE_RECORDED}")
            raise
        except errors.OpStoreError:
            watcher.note(f"it {set_runs.describe(run)}, but that could not be recorded")
            raise

    def _version_set(
        self, pipeline: PipelineName, use: Sequence[str | Reference], lock: Lock | Path | str | None, *, resolved: bool
    ) -> "VersionSet":
        """Return the set: the latest versions, those of a lock, or those of the pipeline's resolution."""
        from opstore_cli.client.set_runs import VersionSet

        if lock is not None:
            if use or resolved:
                other = "use" if use else "resolved"
                reason = f"{other} and lock are mutually exclusive: a lock names all versions"
                raise errors.InvalidRequest(reason=reason)
            return self._locked_set(pipeline, lock)
        if resolved:
            resolution = self.resolve(pipeline, use=use)
            return VersionSet(pipeline, resolution.edges, resolution.versions)
        latest = self.validate_pipeline(pipeline, use=use)
        edges = [(edge.upstream.op, edge.downstream.op) for edge in latest.edges]
        # Of an op without versions, `show` says so.
        exact = [each.op if each.version is None else str(each) for each in latest.versions]
        return VersionSet(pipeline, edges, [self.show(each) for each in exact])

    def _locked_set(self, pipeline: PipelineName, lock: Lock | Path | str) -> "VersionSet":
        from opstore_cli.client.set_runs import VersionSet

        pinned, named = locks.load(lock)
        if named not in (None, pipeline):
            raise errors.InvalidRequest(reason=f"{lock} is a lock of {named}, not of {pipeline}")
        graph = self.pipeline(pipeline)
        ops = {each.op for each in pinned.versions}
        if set(graph.edges) != set(pinned.edges) or set(graph.ops) != ops:
            raise errors.PipelineChanged(pipeline=pipeline, difference="the lock has another one")
        return VersionSet(pipeline, pinned.edges, locks.records(pinned, self.show))


def check_limits(timeout: float | None, repeat: int) -> None:
    """Raise InvalidArgument for a timeout or a number of repetitions that no run can have."""
    if timeout is not None and timeout <= 0:
        raise errors.InvalidArgument(argument="timeout", expected="above 0 seconds", actual=f"{timeout:g}", advice="")
    if not 1 <= repeat <= MAX_REPEAT:
        expected = f"between 1 and {MAX_REPEAT}"
        raise errors.InvalidArgument(argument="repeat", expected=expected, actual=str(repeat), advice="")


def _check_command(words: Sequence[str]) -> None:
    """Raise InvalidRequest for a command that a run can't record."""
    reason = None
    if not words:
        reason = "the command has no words"
    elif any(escape_stray_bytes(word) != word for word in words):
        reason = "a word of the command is not UTF-8"
    elif any("\0" in word for word in words):
        reason = "a word of the command has a null character"
    elif len(words) > MAX_WORDS or max(map(len, words)) > MAX_WORD or sum(map(len, words)) > MAX_COMMAND:
        reason = "the command is too long to be recorded: put it in a script"
    if reason is not None:
        raise errors.InvalidRequest(reason=reason)
