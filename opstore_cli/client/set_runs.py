"""Run a command or a function on a set of versions, once or several times, and describe what it showed."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from opstore_cli.evidence import provenance
from opstore_cli.evidence.outcome import Outcome
from opstore_cli.evidence.pulled_set import PulledSet, pull_set, temporary_folder
from opstore_cli.evidence.runnable import Runnable, warn_of_shared_variables
from opstore_cli.evidence.watcher import Watcher
from opstore_cli.processes.ending_signals import EndingSignals
from opstore_cli.processes.output import KeptOutput
from opstore_cli.transfer.pull_all import StartPull
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_JSON, MAX_OUTPUT
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import NewRun, VersionRecord, encode
from opstore_daemon.protocol.records.short_text import one_line
from opstore_daemon.protocol.references import Reference

LOCK_SUFFIX = ".lock"  # of the lock beside a folder that stays
LEAST_OUTPUT = 1024  # characters
MAX_REASON = 4096  # characters (records.base.Reason)


@dataclass(frozen=True, slots=True)
class VersionSet:
    """One version of each op of a pipeline, and its edges."""

    pipeline: PipelineName
    edges: Sequence[tuple[str, str]]
    versions: Sequence[VersionRecord]


@dataclass(frozen=True, slots=True)
class Place:
    """The folder that the files of a set are pulled to, and that stays; None: a temporary one."""

    folder: Path | None = None
    overwrite: bool = False


def run(
    start: StartPull,
    found: VersionSet,
    runnable: Runnable,
    watcher: Watcher,
    place: Place,
    *,
    timeout: float | None = None,
    repeat: int = 1,
) -> NewRun:
    """Pull the set, run the command or the function on it, and return what a run records.

    Raises CommandNotStarted, what a pull raises, and KeyboardInterrupt.
    """
    runnable.check()
    with EndingSignals() as signals:
        signals.release(lambda _: None)
        with temporary_folder(signals.hold, watcher.note) as temporary:
            pulled = _pull(start, found, runnable, watcher, place, temporary)
            try:
                return _run(found, pulled, runnable, signals, watcher, timeout, repeat)
            finally:
                pulled.release()


def _pull(
    start: StartPull, found: VersionSet, runnable: Runnable, watcher: Watcher, place: Place, temporary: Path
) -> PulledSet:
    folder, lock = temporary / "ops", temporary / "opstore.lock"
    if place.folder is not None:
        folder = Path(os.path.abspath(place.folder))
        if not folder.name:
            raise errors.FileRefused(path=str(folder), reason="its lock would be beside it: choose a folder in it")
        lock = folder.with_name(folder.name + LOCK_SUFFIX)
    if not runnable.needs_files:
        return PulledSet(found.versions, folder, lock, {})
    stored = [version for version in found.versions if version.digest is not None]
    with watcher.pulling(stored) as display, _advised(place):
        pulled = pull_set(
            start, found.pipeline, found.edges, found.versions, folder, lock, display, overwrite=place.overwrite
        )
        if place.folder is None:
            os.chmod(folder, 0o500)  # or a file in it could be replaced by another one
    warn_of_shared_variables([version.op for version in found.versions], watcher)
    watcher.pulled(found.versions, folder)
    return pulled


@contextmanager
def _advised(place: Place) -> Iterator[None]:
    """Say how to choose another folder, if the temporary one can't be written, as on a full disk."""
    try:
        yield
    except errors.OutputFailed as error:
        if place.folder is None:
            error.advice = "-d DIR pulls to another folder, and TMPDIR sets another one for temporary folders"
            error.python = "folder=... pulls to another folder, and TMPDIR sets another one for temporary folders"
        raise


def _run(
    found: VersionSet,
    pulled: PulledSet,
    runnable: Runnable,
    signals: EndingSignals,
    watcher: Watcher,
    timeout: float | None,
    repeat: int,
) -> NewRun:
    commit = provenance.commit()
    output, started = KeptOutput(), time.monotonic()
    outcomes: list[Outcome] = []
    while len(outcomes) < repeat and not _is_decided(outcomes):
        watcher.running(len(outcomes) + 1, repeat)
        outcome = runnable.run(pulled, output, signals, watcher, timeout)
        outcomes.append(_unless_changed(outcome, pulled, runnable))
    script, outcome = runnable.script, _agreed(outcomes)
    made = NewRun(
        edges=tuple((OpName.parse(upstream), OpName.parse(downstream)) for upstream, downstream in found.edges),
        versions=tuple(Reference.of(version.op, version.version) for version in found.versions),
        command=runnable.command,
        script=None if script is None else script.digest,
        script_path=None if script is None else script.path,
        result=outcome.result,
        reason=one_line(outcome.reason, MAX_REASON),
        exit_code=outcome.exit_code,
        duration=time.monotonic() - started,
        repeat=len(outcomes),
        output=output.text(),
        output_digest=output.digest,
        output_size=output.size,
        commit=commit,
        ci_url=provenance.ci_url(os.environ),
    )
    return _that_fits(made, output)


def _is_decided(outcomes: Sequence[Outcome]) -> bool:
    """Return whether another repetition would change nothing: the last one says so, or two of them differ."""
    return bool(outcomes) and (outcomes[-1].is_final or outcomes[-1].result != outcomes[0].result)


def _unless_changed(outcome: Outcome, pulled: PulledSet, runnable: Runnable) -> Outcome:
    """Return the outcome; nobody knows what it is that of if the files or the script changed meanwhile."""
    if changed := pulled.changed():
        reason = f"the files of {', '.join(changed)} changed while it ran"
    elif runnable.script is not None and runnable.script.has_changed():
        reason = f"the script {runnable.script.path} changed while it ran"
    else:
        return outcome
    return replace(
        outcome, result="unknown", reason=f"{reason}, so its result ({outcome.reason}) shows nothing", is_final=True
    )


def _agreed(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what all repetitions showed; unknown if they differ."""
    first, last = outcomes[0], outcomes[-1]
    if last.is_final or first.result == last.result:
        return last
    reason = f"flaky: repetition 1 {describe(first)}, repetition {len(outcomes)} {describe(last)}"
    return replace(last, result="unknown", reason=reason)


def describe(outcome: Outcome | NewRun) -> str:
    """Return what it showed in words, such as `failed (exit code 1)`."""
    word = "could not tell" if outcome.result == "unknown" else outcome.result
    return f"{word} ({outcome.reason})"


def _that_fits(made: NewRun, output: KeptOutput) -> NewRun:
    """Return the run with less of its output if a request could not carry it, as that of a huge pipeline."""
    limit = MAX_OUTPUT
    while len(encode(made)) > MAX_JSON and limit > LEAST_OUTPUT:
        limit //= 2
        made = msgspec.structs.replace(made, output=output.text(limit))
    return made
