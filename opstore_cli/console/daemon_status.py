"""The status of a daemon as JSON and text, and the daemon's program, for the commands that manage the daemon."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from opstore_cli.console.session import Session
from opstore_cli.console.unfinished_transfers import describe
from opstore_cli.output.cells import EMPTY, Cell, format_time, key_cell, size_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol._version import __version__

if TYPE_CHECKING:
    from opstore_cli.config.settings import Settings
    from opstore_cli.local.runtime import LocalDaemon


SIZES = frozenset({"database_size", "blobs_size", "garbage_size", "trash_size"})


def execute_daemon(*words: str, options: Sequence[tuple[str, object]] = ()) -> NoReturn:
    """Replace this process by the daemon's program, which loads no code from the working directory (-P)."""
    arguments = [word for option, value in options if value is not None for word in (option, str(value))]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "opstore_daemon", *words, *arguments])  # noqa: S606


def local_state(running: "LocalDaemon | None", home: Path) -> dict[str, Any]:
    """Return the JSON document of the local daemon, running or not."""
    if running is None:
        return not_running(home=str(home))
    return {
        "running": True,
        "url": running.url,
        "pid": running.pid,
        "version": running.version,
        "home": str(home),
        "started_at": _in_utc(running.started_at),
    }


def not_running(*, url: str | None = None, home: str | None = None) -> dict[str, Any]:
    """Return the JSON document of a daemon that is not running."""
    return {"running": False, "url": url, "pid": None, "version": None, "home": home}


def write_state(session: Session, document: dict[str, Any]) -> None:
    """Write a line for each key, and one for each unfinished transfer; with -q the URL."""
    rows = [(key_cell(key), _cell(key, value)) for key, value in document.items() if key != "unfinished"]
    rows += [(key_cell("unfinished"), Cell(describe(transfer))) for transfer in document.get("unfinished", ())]
    session.out.write_result(document, quiet=[document["url"]], full=Table(("", ""), rows))


def write_started(session: Session, running: "LocalDaemon", home: Path, note: str) -> None:
    """Write the URL of a running daemon, and a note that says whether it was started."""
    session.out.write_result(local_state(running, home), quiet=[running.url], full=[running.url])
    session.out.note(note)
    warn_of_version(session, running.version)
    if os.environ.get("OPSTORE_URL"):
        session.out.warn("OPSTORE_URL is set: the commands use that daemon, not the local one")


def reason_of(settings: "Settings") -> str:
    """Return why commands with these settings use the daemon that they use."""
    words = {"option": "--url names it", "environment": "OPSTORE_URL names it", "local": "no URL is set"}
    return words.get(settings.origin) or f"{settings.named_by} names it"


def daemon_of(settings: "Settings") -> str:
    """Return the daemon of these settings in words."""
    return settings.url or f"the local daemon of {settings.home}"


def warn_of_version(session: Session, version: str) -> None:
    """Warn if the local daemon has another version than this program."""
    if version != __version__:
        session.out.warn(
            f"the local daemon runs opstore {version}, this is opstore {__version__}; opstore restart replaces it"
        )


def _in_utc(text: str) -> str | None:
    """Return the time of the runtime file in the common form; None if it is not a time."""
    try:
        return format_time(datetime.fromisoformat(text))
    except ValueError:
        return None


def _cell(key: str, value: object) -> Cell:
    if key in SIZES and isinstance(value, int):
        return size_cell(value)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    return Cell(EMPTY if value is None else str(value))
