"""Tables: tab-separated lines for programs, columns or stacked cells on a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from opstore_cli.output.cells import Cell

NARROWEST = 10  # letters to which a column may be folded
NUMBERS = frozenset({"SIZE", "VERSIONS", "EDGES"})  # columns that are compared by their digits
PROSE = frozenset({"EVIDENCE", "FOUND", "MESSAGE", "OPS", "REASON", "TAGS", "WHAT TO DO"})  # that may be folded


@dataclass(slots=True)
class Table:
    """Rows under headers. A str is a cell that looks the same everywhere."""

    headers: Sequence[str]
    rows: Iterable[Sequence[Cell | str]]

    def cells(self) -> Iterator[list[Cell]]:
        """The rows, all of cells."""
        for row in self.rows:
            yield [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


def stacked(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Each cell on a line of its own, for a terminal too narrow for a table; the terminal breaks what is longer."""
    widest = max(map(len, headers))
    for position, row in enumerate(rows):
        if position and any(headers):
            yield ""
        for header, text in zip(headers, row, strict=True):
            if str(text):
                yield f"{header.lower():{widest}} {text}".lstrip()
