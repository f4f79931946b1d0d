"""The base class and helpers of the client's mixins."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from opstore_cli.client.progress import ProgressOption, show_progress
from opstore_cli.transfer.progress import Progress
from opstore_cli.transport.api import ApiClient
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.references import Reference


class ApiMixin(OpStoreInterface):
    """A mixin of the client, which sets these attributes."""

    _api: ApiClient
    _home: Path | None  # the folder for state files, from which a later process resumes
    _progress: ProgressOption

    @contextmanager
    def _show_progress(self, title: str, option: ProgressOption = None) -> Iterator[Progress]:
        """Show the progress of one transfer until the block ends; yield the function to report it with."""
        with show_progress(self._progress if option is None else option, title) as display:
            yield partial(display.moved, 0)


def parse_references(references: Iterable[str | Reference]) -> tuple[Reference, ...]:
    """Return the parsed references. Raises InvalidName, InvalidReference or InvalidVersion."""
    return tuple(map(Reference.parse, references))


def as_parameter(references: Iterable[str | Reference]) -> list[str]:
    """Return the references as the values of a repeated parameter. Raises what `parse_references` raises."""
    return [str(Reference.parse(reference)) for reference in references]


def ignore(*_: object) -> None:
    """Ignore all arguments: the default callback."""
