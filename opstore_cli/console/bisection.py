"""The output of `opstore bisect`: each step, the answer, and what to do next."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli.evidence.watcher import Watcher
from opstore_cli.output.cells import EMPTY, Cell, format_time, key_cell, time_cell
from opstore_cli.output.document import Output
from opstore_cli.output.tables import Table
from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import SetChange, VersionRecord
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_cli.client.bisection import Bisection
    from opstore_cli.client.bisection_search import BisectionStep

MOST_OPS = 6  # whose versions a command to copy names


class StepWatcher(Watcher):
    """Notes what a bisection looks at, and counts its runs. The output of the commands is in the store."""

    def __init__(self, out: Output) -> None:
        self._out, self._made = out, 0
        self._notes: set[str] = set()

    @contextmanager
    def pulling(self, versions: Sequence[VersionRecord]) -> Iterator[Display]:
        parts = [(version.op, version.size) for version in versions]
        with self._out.progress(f"pull {counted(len(parts), 'ops')}", parts) as display:
            yield display

    def note(self, text: str) -> None:
        if text not in self._notes:  # once, not at every step
            self._notes.add(text)
            self._out.note(text, always=True)

    def show(self, step: "BisectionStep") -> None:
        """Note what is tested, or the result."""
        what = f"position {step.position}"
        if step.change is not None and (step.result is None or step.is_reused or step.run is None):
            what += f" ({describe_change(step.change)})"
        if step.result is None:
            left = f"{counted(step.suspects, 'changes')} left, about {counted(step.runs, 'runs')}"
            self._out.note(f"{left}: testing {what}")
        elif step.run is None:
            self._out.note(f"skipped {what}: {step.reason}")
        else:
            self._made += not step.is_reused
            word = "can't tell" if step.result == "untestable" else step.result
            earlier = "earlier run" if step.is_reused else "run"
            self._out.note(f"{what}: {word} ({earlier} {step.run.position}: {step.reason})")

    def note_interrupted(self) -> None:
        """Note what is kept."""
        if self._made:
            self._out.note(f"{counted(self._made, 'runs')} of this bisection are recorded", always=True)


def describe_change(change: SetChange, before: str | None = None) -> str:
    """Return what an entry did, in words; `before` is the version that was the latest one before it."""
    version = format_reference(change.op, change.version)
    if change.action in ("yanked", "removed"):
        gone = change.op if before is None else format_reference(change.op, before)
        left = f"{change.op} without a version" if change.version is None else f"{version} the latest"
        return f"{gone} {change.action}, which made {left}"
    return f"{version} {change.action}"


def report_no_answer(out: Output, failure: errors.AnswerIsNo) -> int:
    if not out.json:
        out.error(failure)
        return failure.exit_code
    details = {key: value for key, value in failure.details.items() if key != "position"}
    answer = {"culprit": None, "suspects": [], "reason": failure.text, "bad": failure.details["position"]}
    out.write_json(details | answer)
    return failure.exit_code


def write_lock(out: Output, path: Path, found: "Bisection") -> None:
    from opstore_cli import lockfile

    lock = lockfile.of_versions(found.pipeline, found.edges, found.last_good_set)
    out.note(f"wrote {path}" if lockfile.write(path, lock) else f"{path} is up to date")


# --- the answer -----------------------------------------------------------------------------------------------------


def report(out: Output, found: "Bisection") -> None:
    out.write_result(
        found,
        quiet=[format_reference(each.op, each.version) for each in found.suspects],
        full=Table(("", ""), [(key_cell(key), value) for key, value in _rows(found)]),
    )
    if out.json or out.quiet:
        return
    if found.diff is not None:
        from opstore_cli.console.differences import difference_table

        if out.shows_tables:
            out.write_lines([""])
        out.write_result(None, quiet=[], full=difference_table(found.diff))
    for line in _advice(found):
        out.note(line)


def _rows(found: "Bisection") -> Iterator[tuple[str, Cell]]:
    culprit = found.culprit
    before = {each.op: each.version for each in found.last_good_versions}
    if found:
        yield "culprit", Cell(format_reference(culprit.op, culprit.version), None, "red")
    for each in found.suspects if not found else ():
        yield "suspect", Cell(f"position {each.position}: {describe_change(each)}", None, "yellow")
    yield "first_bad", Cell(str(found.first_bad), f"position {found.first_bad}")
    yield "change", Cell(describe_change(culprit, before.get(culprit.op) if found else None))
    yield "registered_at", _time(culprit.registered_at)
    yield "author", Cell(culprit.author or EMPTY, culprit.author or "unknown")
    for number, line in enumerate((culprit.text or "").splitlines()):
        yield "" if number else "text", Cell(line)
    yield "last_good", Cell(str(found.last_good), f"position {found.last_good}")
    for version in found.last_good_versions:
        yield "good_version", Cell(format_reference(version.op, version.version))
    yield "runs_made", Cell(str(found.runs_made))
    yield "runs_reused", Cell(str(found.runs_reused))


def _time(moment: datetime) -> Cell:
    return Cell(format_time(moment), f"{time_cell(moment).for_people()} ({format_time(moment)})")


def _advice(found: "Bisection") -> Iterator[str]:
    """Yield what to do next."""
    stored: Sequence[VersionRecord] = [each for each in found.last_good_set if each.digest is not None]
    names = [format_reference(each.op, each.version) for each in stored]
    if names and len(names) <= MOST_OPS:
        yield f"to get the last good versions: {shlex.join(['opstore', 'pull', *names, '-d', 'DIR'])}"
    else:
        yield "to get the last good versions, add --lock FILE: nothing runs again"
    if not found:
        yield "earlier results that could not tell are used again, too: --rerun ignores them"
        return
    culprit = found.culprit
    version = format_reference(culprit.op, culprit.version)
    if culprit.action == "yanked":
        before = next((each for each in found.last_good_versions if each.op == culprit.op), None)
        yield f"to undo it: opstore unyank {before}"
    elif culprit.action == "removed":
        yield f"a removed version does not come back: push its bytes again, as a new version of {culprit.op}"
    else:
        yield f"to retire it: opstore yank {version} --reason TEXT"
        yield f"to see what to retrain with it: opstore affected {version}"


def warn_untested(out: Output, found: "Bisection", words: Sequence[str]) -> None:
    """Warn that the last good set is the good end, and say how to test it."""
    if not out.json:
        versions = " ".join(f"--use {each}" for each in found.last_good_versions)
        out.warn(
            "the last good set is the good end, which was not tested. If the command fails there too, the answer is"
            f" wrong: opstore verify {found.pipeline} {versions} --run {shlex.join(words)}"
        )
