"""The interface of an observer of a run, which shows its steps and its output."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opstore_cli.output.progress import NullDisplay
from opstore_cli.processes.output import Copy
from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol.records import VersionRecord


class Watcher:
    """A watcher that shows nothing.

    `copy` is called with what the command prints, as it arrives, in another thread; None: nobody wants it.
    """

    copy: Copy | None = None

    @contextmanager
    def pulling(self, versions: Sequence[VersionRecord]) -> Iterator[Display]:
        """Show the progress of the pull of these versions during the context."""
        yield NullDisplay()

    def pulled(self, versions: Sequence[VersionRecord], folder: Path) -> None:
        """Say which set was pulled."""

    def running(self, number: int, repeat: int) -> None:
        """Say that repetition `number` of `repeat` starts."""

    def recording(self) -> None:
        """Say that the result is known, and is recorded from now on."""

    def note(self, text: str) -> None:
        """Say something that the user should know."""
