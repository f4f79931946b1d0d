"""Show a run of `client.verify` to a person, where the progress of transfers is shown."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from opstore_cli.client.progress import ProgressOption, is_shown, show_progress
from opstore_cli.evidence.watcher import Watcher
from opstore_cli.output.escaping import escape_controls
from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol.records import VersionRecord


class ClientWatcher(Watcher):
    """Shows the pull as the client's other pulls and, where a person watches, the output of the command on stderr."""

    def __init__(self, progress: ProgressOption) -> None:
        self._progress = progress
        self._is_shown = is_shown(progress)
        self.copy = self._write if self._is_shown else None

    @contextmanager
    def pulling(self, versions: Sequence[VersionRecord]) -> Iterator[Display]:
        parts = [(version.op, version.size) for version in versions]
        with show_progress(self._progress, f"pull {len(parts)} ops", parts or None) as display:
            yield display

    def note(self, text: str) -> None:
        if self._is_shown:
            self._write(f"{escape_controls(text)}\n".encode())

    def pulled(self, versions: Sequence[VersionRecord], folder: Path) -> None:
        self.note(f"pulled {', '.join(map(str, versions))} to {folder}")

    @staticmethod
    def _write(data: bytes) -> None:
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                print(data.decode(errors="replace"), end="", file=sys.stderr, flush=True)  # noqa: T201 - asked for
