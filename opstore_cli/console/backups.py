"""Run `opstore backup`, `restore` and `migrate`: show the progress, the problems, and the result as text or JSON."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opstore_cli.console.daemon_status import daemon_of, reason_of
from opstore_cli.console.session import Session
from opstore_cli.output.cells import EMPTY, Cell
from opstore_cli.output.tables import Table
from opstore_cli.output.terminal import is_terminal
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.sizes import format_size

if TYPE_CHECKING:
    from opstore_daemon.protocol.backup_lines import Moved, Result

_OVERRIDE = {"option": "leave out --url", "environment": "unset OPSTORE_URL"}


def refuse_remote(session: Session, does: str) -> None:
    """Raise BackupRefused if an option or OPSTORE_URL names a daemon: the command `does` something with local files.

    A URL in a settings file, which can't be unset for one command, is a warning.
    """
    settings = session.settings()
    if settings.url is None:
        return
    reason = f"this command {does}, not those of {daemon_of(settings)} ({reason_of(settings)})"
    if settings.origin in _OVERRIDE:
        advice = f"run it on the machine of that daemon, or {_OVERRIDE[settings.origin]}"
        raise errors.BackupRefused(reason=reason, advice=advice)
    session.out.warn(reason)


def to_folder(_ctx: click.Context, _param: click.Parameter, value: str) -> Path:
    """Return the path of DIR. Raises BadParameter for an empty one, which would be the working directory."""
    if not value:
        raise click.BadParameter("it is empty, as a variable that is not set")
    return Path(value)


def run(
    session: Session,
    command: str,
    words: Sequence[str],
    write: "Callable[[Session, Result], None]",
    *,
    resumed_after: tuple[type[errors.OpStoreError], ...] = (),
) -> None:
    """Run the daemon's program, show its progress and its problems, and write its result.

    Raises the program's error, after the result of a backup that is not whole. An interrupted run can be repeated.
    `resumed_after`: errors after which a note says so, if anything was copied.
    """
    from opstore_cli.local import backups
    from opstore_cli.transfer.interruption import InterruptedTransfer
    from opstore_daemon.protocol.backup_lines import Moved, Problem

    result: Result | None = None
    has_begun = False
    try:
        with _Progress(session) as progress:
            for line in backups.run(command, words):
                if isinstance(line, Moved):
                    has_begun = True
                    progress.show(line)
                elif isinstance(line, Problem):
                    session.out.warn(str(line))
                else:
                    result = line
    except KeyboardInterrupt:
        raise InterruptedTransfer from None
    except resumed_after:
        if has_begun:
            session.out.note("what was moved so far is kept: the same command resumes")
        raise
    finally:
        if result is not None:
            write(session, result)


class _Progress:
    """Bars on a terminal, one for each step; nothing anywhere else, such as in the mail of a cron job."""

    def __init__(self, session: Session) -> None:
        self._out, self._step, self._stack = session.out, "", ExitStack()
        self._is_shown = is_terminal(sys.stderr)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, line: "Moved") -> None:
        if not self._is_shown:
            return
        if line.step != self._step:
            self._stack.close()
            self._step = line.step
            unit = "" if line.unit == "bytes" else line.unit
            self._stack.enter_context(self._out.progress(line.step, unit=unit))
        self._out.moved(line.done, line.total)


def document_of(result: "Result", *left_out: str) -> dict[str, Any]:
    """Return the JSON document of a result."""
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(result)
    for problem in (*document.get("missing", ()), *document.get("problems", ())):
        problem.pop("line")
    return {name: value for name, value in document.items() if name not in ("line", *left_out)}


def write_document(session: Session, document: dict[str, Any], quiet: str) -> None:
    """Write a line for each key, on a terminal the lines that people need; with -q only the text `quiet`."""
    if session.out.shows_tables:
        rows = [(Cell(name), Cell(text)) for name, text in _for_people(document)]
    else:
        rows = [(Cell(key), Cell(plain(value))) for key, value in document.items()]
    session.out.write_result(document, quiet=[quiet], full=Table(("", ""), rows))


def plain(value: object) -> str:
    """Return the value of a key off a terminal: of a list, its length."""
    if isinstance(value, list | tuple):
        return str(len(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return EMPTY if value is None else str(value)


def _for_people(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "store", found["store_id"] + (f", a clone of {found['clone_of']}" if found.get("clone_of") else "")
    yield "backup", found["folder"]
    if "home" in found:
        yield "restored into", found["home"]
    yield "made", found["created_at"].replace("T", " ")
    yield "position", str(found["position"])
    yield "versions", f"{found['versions']}, of {count(found['ops'], 'op')}"
    blobs = f"{found['blobs']} ({format_size(found['blobs_size'])})"
    if "copied" in found:
        blobs += f": {found['copied']} copied ({format_size(found['copied_size'])}), {found['present']} already there"
    yield "blobs", blobs
    if found.get("pruned"):
        yield "pruned", f"{count(found['pruned'], 'blob')} ({format_size(found['pruned_size'])})"
    if "intact" in found:
        yield "intact", "yes" if found["intact"] else f"no: {count(len(found['problems']), 'blob')} are not"
    if found.get("missing"):
        yield "missing", f"{count(len(found['missing']), 'blob')}, see above"


def count(number: int, noun: str) -> str:
    """Return the number and the noun, such as `1 blob` or `2 blobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
