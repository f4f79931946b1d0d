"""Read lock files for commands, and note versions that have other numbers in this store."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opstore_cli import lockfile
from opstore_cli.lockfile import LockFile
from opstore_cli.output.document import Output

if TYPE_CHECKING:
    from opstore_daemon.protocol.names import PipelineName


def read(path: Path, pipeline: "PipelineName | None" = None) -> LockFile:
    """Return the content of the file. Raises FileRefused, and UsageError for a lock of another pipeline."""
    lock = lockfile.read(path)
    if pipeline is not None and pipeline != lock.pipeline:
        raise click.UsageError(f"{path} is a lock of {lock.pipeline}, not of {pipeline}")
    return lock


def note_other_numbers(out: Output, lock: LockFile, numbers: Mapping[str, str | None]) -> None:
    """Note each version that has another number in this store (`numbers`, by op) than in the lock."""
    for sentence in lock.other_numbers(numbers):
        out.note(sentence)
