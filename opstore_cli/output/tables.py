"""Tables: tab-separated lines for programs, columns or stacked cells on a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from opstore_cli.output.cells import Cell
from opstore_cli.output.escaping import escape_controls

if TYPE_CHECKING:
    from rich.text import Text

MIN_WIDTH = 10  # columns, of a cell that is folded
NUMBERS = frozenset({"SIZE", "VERSIONS", "EDGES"})  # headers of columns that are aligned to the right
PROSE = frozenset({"EVIDENCE", "FOUND", "MESSAGE", "OPS", "REASON", "TAGS", "WHAT TO DO"})  # headers that may fold


@dataclass(slots=True)
class Table:
    """Rows under headers. A str is a cell that looks the same everywhere."""

    headers: Sequence[str]
    rows: Iterable[Sequence[Cell | str]]

    def cells(self) -> Iterator[list[Cell]]:
        """Yield the rows with each str made a cell."""
        for row in self.rows:
            yield [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


def format_tabs(table: Table) -> str:
    """Return the plain cells separated by tabs, without headers."""
    return "".join("\t".join(escape_controls(cell.plain) for cell in row) + "\n" for row in table.cells())


def format_columns(table: Table, colored: bool) -> str:
    """Return the table as a terminal shows it: in columns, or one cell a line if the terminal is too narrow."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    rows = [[Text(escape_controls(cell.for_people()), style=cell.style) for cell in row] for row in table.cells()]
    if not rows:
        return ""
    color: Literal["auto"] | None = "auto" if colored else None
    console = Console(force_terminal=True, color_system=color, markup=False, emoji=False, highlight=False)
    # An identifier on two lines can't be copied: only prose is folded.
    folds = [place > 0 and (header in PROSE or not any(table.headers)) for place, header in enumerate(table.headers)]
    if _min_width(rows, folds) > console.width:
        return "".join(line + "\n" for line in _stacked(table.headers, rows))
    columns = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(table.headers))
    for header, may_fold in zip(table.headers, folds, strict=True):
        justify: Literal["left", "right"] = "right" if header in NUMBERS else "left"
        columns.add_column(Text(header, style="bold"), overflow="fold", justify=justify, no_wrap=not may_fold)
    for row in rows:
        columns.add_row(*row)
    with console.capture() as captured:
        console.print(columns)
    # Rich pads lines to the width: the blanks would wrap when the window is made narrower.
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _min_width(rows: Sequence[Sequence["Text"]], folds: Sequence[bool]) -> int:
    widths: list[int] = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
    needed = [min(width, MIN_WIDTH) if may_fold else width for width, may_fold in zip(widths, folds, strict=True)]
    return sum(needed) + 2 * (len(needed) - 1)


def _stacked(headers: Sequence[str], rows: Sequence[Sequence["Text"]]) -> Iterator[str]:
    widest = max(map(len, headers))
    for position, row in enumerate(rows):
        if position and any(headers):
            yield ""
        for header, text in zip(headers, row, strict=True):
            if str(text):
                yield f"{header.lower():{widest}} {text}".lstrip()
