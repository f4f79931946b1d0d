"""The table of what differs between two versions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from opstore_cli.output.cells import Cell, key_cell, size_cell, text_cell
from opstore_cli.output.tables import Table
from opstore_daemon.protocol.reference_text import format_reference

if TYPE_CHECKING:
    from opstore_cli.client.comparison import Difference


def difference_table(found: "Difference") -> Table:
    """Return the table of what differs: a row for each field and file."""
    names = [format_reference(version.op, version.version) for version in (found.one, found.other)]
    return Table(("WHAT", *names), list(_rows(found)), none="no difference")


def _rows(found: "Difference") -> Iterator[tuple[Cell | str, Cell, Cell]]:
    for field in found.fields:
        name = field.field if " " in field.field else key_cell(field.field)  # "label created_at" is a label
        yield name, _value(field.field, field.one), _value(field.field, field.other)
    for file in found.files or ():
        one, other = (Cell("-", "") if size is None else size_cell(size) for size in (file.one, file.other))
        yield f"file {file.path} ({file.change})", one, other


def _value(field: str, text: str | None) -> Cell:
    """Return the value of a field: a size and a time are rounded on a terminal."""
    if text is None or field not in ("size", "registered_at"):
        return text_cell(text)
    return size_cell(int(text)) if field == "size" else Cell(text, text.partition(".")[0].removesuffix("Z") + "Z")
