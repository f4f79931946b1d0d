"""What `-v` shows besides the details of errors: the log of the client, such as why bytes came through the daemon."""

import logging
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from opstore_cli.output.document import Output


class _Notes(logging.Handler):
    def __init__(self, out: "Output") -> None:
        super().__init__(logging.INFO)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(record.getMessage())


def show_log(out: "Output") -> None:
    """Write the log of the client as notes, to the end of the command."""
    _hide_log()
    log = logging.getLogger("opstore_cli")
    log.setLevel(logging.INFO)
    log.addHandler(_Notes(out))
    context = click.get_current_context(silent=True)
    if context is not None:
        context.find_root().call_on_close(_hide_log)


def _hide_log() -> None:
    log = logging.getLogger("opstore_cli")
    for handler in [each for each in log.handlers if isinstance(each, _Notes)]:
        log.removeHandler(handler)
