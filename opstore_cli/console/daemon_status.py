"""What `start`, `stop`, `restart`, `status`, `serve` and `db` share: the daemon's state in words, and its program."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from opstore_cli.console.session import Session
from opstore_cli.console.unfinished_transfers import in_words
from opstore_cli.output.cells import EMPTY, Cell, format_time
from opstore_cli.output.tables import Table
from opstore_daemon.protocol._version import __version__

if TYPE_CHECKING:
    from opstore_cli.local.daemon import LocalDaemon


def execute_daemon(*words: str, options: Sequence[tuple[str, object]] = ()) -> NoReturn:
    """Becomes the daemon's program: the command line imports no part of it, and it takes no code from this folder."""
    given = [word for option, value in options if value is not None for word in (option, str(value))]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "opstore_daemon", *words, *given])  # noqa: S606


def state(running: "LocalDaemon | None", home: Path) -> dict[str, Any]:
    """The document of `--json`: what the local daemon is, if it runs."""
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
    """The document where no daemon runs."""
    return {"running": False, "url": url, "pid": None, "version": None, "home": home}


def say_state(session: Session, document: dict[str, Any]) -> None:
    """All of it, a key and its value a line, each unfinished transfer on one of its own; with -q the URL."""
    told = {key: value for key, value in document.items() if key != "unfinished"}
    rows = [(key, Cell(_said(value))) for key, value in told.items()]
    rows += [("unfinished", Cell(in_words(transfer))) for transfer in document.get("unfinished", ())]
    session.out.write_result(document, quiet=[document["url"]], full=Table(("", ""), rows))


def say_started(session: Session, running: "LocalDaemon", home: Path, words: str) -> None:
    """The URL of a daemon that was asked to run, and, aside, whether it is new."""
    session.out.write_result(state(running, home), quiet=[running.url], full=[running.url])
    session.out.note(words)
    warn_of_version(session, running.version)
    if os.environ.get("OPSTORE_URL"):
        session.out.warn("OPSTORE_URL is set: the commands use that daemon, not the local one")


def warn_of_version(session: Session, version: str) -> None:
    """Says so where the local daemon is of another version than this program."""
    if version != __version__:
        session.out.warn(f"the local daemon is opstore {version}, this is {__version__}: opstore restart replaces it")


def _in_utc(text: str) -> str | None:
    """The time of the runtime file as all times are written; None where it is none."""
    try:
        return format_time(datetime.fromisoformat(text))
    except ValueError:
        return None


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return EMPTY if value is None else str(value)
