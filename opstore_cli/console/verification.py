"""The output of `opstore verify`: the pull, the command's output, the result."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli.client.verification import MAYBE_RECORDED
from opstore_cli.console import results
from opstore_cli.console.run_texts import READ_OUTPUT
from opstore_cli.evidence.watcher import Watcher
from opstore_cli.output.cells import result_cell
from opstore_cli.output.document import Output
from opstore_cli.output.tables import Table
from opstore_cli.output.terminal import is_terminal
from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol.records import LinkRecord, RecordedRun, VersionRecord
from opstore_daemon.protocol.sizes import format_size

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient

MOST_VERSIONS = 20  # of a set that are listed
JOURNAL_ENTRIES = 1000  # of an op, in which the author of a link is looked for


class CommandWatcher(Watcher):
    """Copies the output of the command to stderr, unless `-q` or `--json` is given, and notes what is done."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._last = b"\n"  # the last byte that the command wrote
        self._has_escapes = False
        self._is_recording = False
        self.copy = None if out.quiet or out.json else self._copy

    @contextmanager
    def pulling(self, versions: Sequence[VersionRecord]) -> Iterator[Display]:
        parts = [(version.op, version.size) for version in versions]
        with self._out.progress(f"pull {len(parts)} ops", parts) as display:
            yield display

    def pulled(self, versions: Sequence[VersionRecord], folder: Path) -> None:
        size = sum(version.size or 0 for version in versions)
        shown = ", ".join(map(str, versions[:MOST_VERSIONS]))
        more = f" and {len(versions) - MOST_VERSIONS} more" if len(versions) > MOST_VERSIONS else ""
        self._out.note(f"pulled {shown}{more}: {format_size(size)} in {folder}")
        for version in versions:
            if version.digest is None:
                self._out.note(f"{version} has no bytes, so there is no file of it")

    def running(self, number: int, repeat: int) -> None:
        self._end_line()
        if repeat > 1:
            self._out.note(f"repetition {number} of {repeat}")

    def recording(self) -> None:
        self._is_recording = True

    def note_interrupted(self) -> None:
        """Note what is known of the run: a request that was interrupted may have arrived."""
        if self._is_recording:
            self.note(MAYBE_RECORDED)
        else:
            self.note("nothing was recorded")

    def note(self, text: str) -> None:
        self._end_line()
        self._out.note(text, always=True)

    def finish(self) -> None:
        """Begin a new line, in the usual colours, if the command left the terminal in the middle of one."""
        if self._has_escapes and is_terminal(sys.stderr):
            self._write(b"\x1b[0m")
        self._end_line()

    def _end_line(self) -> None:
        if self._last != b"\n":
            self._write(b"\n")
            self._last = b"\n"

    def _copy(self, data: bytes) -> None:
        self._last = data[-1:]
        self._has_escapes = self._has_escapes or b"\x1b" in data
        self._write(data)

    @staticmethod
    def _write(data: bytes) -> None:
        # What the command shows must not fail because nobody can see it.
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()


def write_recorded(out: Output, client: "OpStoreClient", recorded: RecordedRun) -> int:
    """Write the run, and which edges it made valid, and return the exit code."""
    run = recorded.run
    out.write_result(
        {**results.to_dict(recorded), "verdict": recorded.verdict},
        quiet=[run.result],
        full=Table(("RUN", "RESULT", "REASON"), [(str(run.position), result_cell(run.result), run.reason)]),
    )
    if not out.json:
        for link in recorded.links:
            out.note(results.format_link(link)[2])
        if recorded and not recorded.links and len(run.versions) > 1:  # a single op has no edges
            out.note("every edge was valid before, by a run of the same command")
        for link in recorded.kept_invalid:
            out.note(_kept(client, link), always=True)
        if run.output_size:
            out.note(f"what the command printed: {READ_OUTPUT} {run.position}")
    return results.EXIT_CODES[recorded.verdict]


def _kept(client: "OpStoreClient", link: LinkRecord) -> str:
    """Return who recorded a link that stays invalid, and how to reverse it."""
    upstream, downstream, sentence = results.format_link(link)
    entries = client.log(link.upstream, limit=JOURNAL_ENTRIES)
    author = next((entry.author for entry in entries if entry.position == link.position), None)
    who = f" by {author}" if author else ""
    why = f" ({link.evidence})" if link.evidence else ""
    return (
        f"{sentence}: recorded{who} at position {link.position}{why}. No run reverses that;"
        f" if it is wrong: opstore link {upstream} {downstream}"
    )
