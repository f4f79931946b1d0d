"""Tables: tab-separated lines for programs, columns that fit the screen on a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from opstore_cli.output.cells import Cell
from opstore_cli.output.escaping import escape_controls
from opstore_cli.output.width import measure, shorten, wrap

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    Rows = Sequence[Sequence[Text]]

ARROW = " -> "
GAP = 2  # columns between two cells
MIN_VALUE = 24  # columns of a value beside its name
NUMBERS = frozenset({"POSITION", "SIZE", "VERSIONS", "EDGES"})  # headers of columns that are aligned to the right
# Headers of columns that are folded: a reason that is cut can't be acted on.
FOLDED = frozenset({"FOUND", "REASON", "WHAT TO DO"})
# Headers of columns of free text, which are shortened at the end; other cells lose their middle.
TEXT = frozenset({"DESCRIPTION", "EVIDENCE", "LABELS", "MESSAGE", "OPS", "TAGS", "TEXT"})
# Headers of columns that are as short as they get.
FIXED = NUMBERS | {"COMPAT", "LATEST", "REGISTERED", "SINCE", "VERDICT", "WHEN", "ACTION", ""}
DIGESTS = frozenset({"DIGEST"})  # a prefix of a digest selects a version: it is cut, without an ellipsis, to 8 digits
NAMES = frozenset({"the others"})
# Columns that a cell keeps at each step, until the table fits: free text gives way first, then digests, then reasons.
STEPS = (
    *((TEXT, 16), (DIGESTS, 8), (FOLDED, 30), (TEXT, 12), (NAMES, 28)),
    *((FOLDED, 20), (NAMES, 16), (TEXT, 6), (NAMES, 9)),
)


@dataclass(slots=True)
class Table:
    """Rows under headers. A str is a cell that looks the same everywhere. `none`: what a person sees without rows."""

    headers: Sequence[str]
    rows: Iterable[Sequence[Cell | str]]
    none: str = "none"

    def cells(self) -> Iterator[list[Cell]]:
        """Yield the rows with each str made a cell."""
        for row in self.rows:
            yield [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]


def format_tabs(table: Table) -> str:
    """Return the plain cells separated by tabs, without headers."""
    return "".join("\t".join(escape_controls(cell.plain) for cell in row) + "\n" for row in table.cells())


def format_columns(table: Table, width: int, colored: bool) -> str:
    """Return the table as a terminal of that width shows it.

    Long cells are shortened, or folded if they say why or what to do. Rows without headers are names and their values,
    or lines and their reasons: nothing in them is shortened.
    """
    from rich.console import Console
    from rich.text import Text

    rows = [[Text(escape_controls(cell.for_people()), style=cell.style) for cell in row] for row in table.cells()]
    if not rows:
        return ""
    color: Literal["auto"] | None = "auto" if colored else None
    # Without a height, rich takes the width of a dumb terminal for 80.
    options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False, "width": width, "height": 25}
    console = Console(force_terminal=True, color_system=color, **options)
    with console.capture() as captured:
        if any(table.headers):
            _print_columns(console, table.headers, rows, width)
        else:
            _print_pairs(console, rows, width)
    # Rich pads lines to the width: the blanks would wrap when the window is made narrower.
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _print_columns(console: "Console", headers: Sequence[str], rows: "Rows", width: int) -> None:
    from rich.table import Table as RichTable
    from rich.text import Text

    widths = _widths(headers, rows, width)
    if sum(widths) + GAP * (len(widths) - 1) > width:
        _print_stacked(console, headers, rows)
        return
    columns = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for header, size in zip(headers, widths, strict=True):
        justify: Literal["left", "right"] = "right" if header in NUMBERS else "left"
        columns.add_column(Text(header, style="bold"), overflow="fold", justify=justify, width=size)
    for row in rows:
        columns.add_row(*(_fitted(*each) for each in zip(headers, row, widths, strict=True)))
    console.print(columns)


def _widths(headers: Sequence[str], rows: "Rows", width: int) -> list[int]:
    """Return the width of each column; more than `width` together if the table can't fit."""
    widths = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
    widths = [max(size, len(header)) for size, header in zip(widths, headers, strict=True)]
    for kind, floor in STEPS:
        excess = sum(widths) + GAP * (len(widths) - 1) - width
        if excess <= 0:
            break
        _shrink(
            widths, [place for place, header in enumerate(headers) if _kind(header) is kind], excess, headers, floor
        )
    return widths


def _kind(header: str) -> frozenset[str]:
    """Return the set of headers that the header belongs to."""
    return next((kind for kind in (TEXT, FOLDED, DIGESTS, FIXED) if header in kind), NAMES)


def _shrink(widths: list[int], chosen: Sequence[int], excess: int, headers: Sequence[str], floor: int) -> None:
    """Take `excess` columns from the chosen cells, always from the widest, down to the floor."""
    floors = {place: max(floor, len(headers[place])) for place in chosen}
    while excess > 0:
        place = max(chosen, key=lambda place: widths[place] - floors[place], default=None)
        if place is None or widths[place] <= floors[place]:
            return
        widths[place] -= 1
        excess -= 1


def _fitted(header: str, text: "Text", width: int) -> "Text":
    if text.cell_len <= width or header in FOLDED:
        return text
    from rich.text import Text

    kind = _kind(header)
    if kind is NAMES and ARROW in text.plain:
        upstream, _, downstream = text.plain.partition(ARROW)
        fitted = _fitted_edge(upstream, downstream, width - len(ARROW))
    else:
        fitted = text.plain[:width] if kind is DIGESTS else shorten(text.plain, width, middle=kind is not TEXT)
    return Text(fitted, style=text.style)


def _fitted_edge(upstream: str, downstream: str, width: int) -> str:
    """Return both ends of an edge in `width` columns: a short one leaves its room to the other."""
    half = width // 2
    left = max(half, width - measure(downstream))
    right = max(width - half, width - measure(upstream))
    return shorten(upstream, left, middle=True) + ARROW + shorten(downstream, right, middle=True)


def _print_pairs(console: "Console", rows: "Rows", width: int) -> None:
    """Print names and their values, which are wrapped at words beside the names, or below them without enough space."""
    from rich.text import Text

    indent = max(name.cell_len for name, _ in rows) + GAP
    is_narrow = width - indent < MIN_VALUE
    for name, value in rows:
        lines = wrap(value.plain, width - (GAP if is_narrow else indent))
        if is_narrow:
            console.print(name, soft_wrap=True)
            name, indent = Text(""), GAP
            if not value.plain:
                continue
        for line in lines:
            label = Text(" " * (indent - name.cell_len))
            console.print(name + label + Text(line, style=value.style), soft_wrap=True)
            name = Text("")


def _print_stacked(console: "Console", headers: Sequence[str], rows: "Rows") -> None:
    """Print one cell a line: not even short cells fit into the width."""
    from rich.text import Text

    widest = max(map(len, headers))
    for position, row in enumerate(rows):
        if position:
            console.print()
        for header, text in zip(headers, row, strict=True):
            if text.plain:
                label = f"{header.lower():{widest}} " if header else ""
                console.print(Text(label) + text, soft_wrap=True)
