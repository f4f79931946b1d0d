"""Write the notes and warnings of `opstore push`, which go to standard error."""

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from opstore_cli.console import results
from opstore_cli.console.session import Session
from opstore_daemon.protocol.folder_format import FOLDER_FORMAT
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_daemon.protocol.records import Pushed

_EMPTY_FOLDER = 1024  # bytes of the stream of a folder without entries


def note_skipped(session: Session, path: str, skipped: tuple[int, bool]) -> None:
    """Note that entries of the folder are not stored: how many patterns exclude, and a `.git`."""
    count, git = skipped
    if git:
        session.out.note(f"skipped .git in {path}; --exclude '!.git' stores it")
    if count:
        entries = "1 entry" if count == 1 else f"{count} entries"
        session.out.note(f"skipped {entries} in {path}, matched by --exclude or .opstoreignore")


def note_result(session: Session, pushed: "Pushed", source: str | BinaryIO, options: Mapping[str, Any]) -> None:
    """Warn of an empty version, and note what was recorded if the push made nothing new."""
    reference = format_reference(pushed.op, pushed.version)
    results.note_links(session.out, pushed)
    if pushed.size == 0:
        session.out.warn(f"{reference} is empty: it has 0 bytes")
    elif pushed.format == FOLDER_FORMAT and pushed.size == _EMPTY_FOLDER:
        session.out.warn(f"{reference} is an empty folder")
    if not pushed.created:
        session.out.note(f"nothing new: {reference} has these bytes already")
        note_recorded(session, pushed, options)
        if isinstance(source, str):
            _warn_of_kind(session, pushed, source)


def note_recorded(session: Session, pushed: "Pushed", options: Mapping[str, Any]) -> None:
    """Note which options of a push or registration were recorded on a version that was there already, and which not.

    The links are noted in any case (`results.note_links`).
    """
    recorded = [f"tag {tag}" for tag in options.get("tags", ())]
    recorded += [f"label {key}={value}" for key, value in options["labels"].items()]
    if recorded:
        session.out.note(f"recorded on it: {'; '.join(recorded)}")
    from opstore_cli.client.warnings import not_recorded

    missing = not_recorded(pushed, message=options["message"])
    if missing:
        reference = format_reference(pushed.op, pushed.version)
        session.out.note(f"not recorded: {' and '.join(missing)}; opstore edit {reference} -m TEXT sets it")
    if options.get("bump") is not None:
        session.out.note(f"no {options['bump']} bump: --new makes a version of the same bytes")


def _warn_of_kind(session: Session, pushed: "Pushed", source: str) -> None:
    """Warn if the version is pulled in another way than the source was."""
    reference = format_reference(pushed.op, pushed.version)
    if os.path.isdir(source):
        if pushed.format != FOLDER_FORMAT:
            session.out.warn(f"{reference} was pushed as a file and is pulled as one; --new stores it as a folder")
    elif pushed.executable != (executable := _is_executable(source)):
        there, here = ("without", "with") if executable else ("with", "without")
        how = f"{there} the executable bit and is pulled so"
        session.out.warn(f"{reference} was pushed {how}; --new stores it {here} it")


def _is_executable(path: str) -> bool:
    try:
        return os.name == "posix" and bool(os.stat(path).st_mode & stat.S_IXUSR)
    except OSError:
        return False
