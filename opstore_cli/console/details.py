"""What `-v` shows besides the details of errors: the log of the client, such as why bytes came through the daemon."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opstore_cli.output.document import Output


class _Notes(logging.Handler):
    def __init__(self, out: "Output") -> None:
        super().__init__(logging.INFO)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(record.getMessage())


def show_log(out: "Output") -> None:
    """Write the log of the client as notes, in place of where an earlier call has it written."""
    log = logging.getLogger("opstore_cli")
    log.setLevel(logging.INFO)
    log.handlers = [each for each in log.handlers if not isinstance(each, _Notes)] + [_Notes(out)]
