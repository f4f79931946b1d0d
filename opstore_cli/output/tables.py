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
    Steps = Sequence[tuple[frozenset[str], int]]

ARROW = " -> "
GAP = 2  # columns between two cells
MIN_VALUE, MAX_VALUE = 24, 40  # columns of a value beside its name: half of those of the terminal, within these bounds
# Headers of columns that are aligned to the right.
NUMBERS = frozenset({"COUNT", "EDGES", "POSITION", "RUN", "SIZE", "TOOK", "VERSIONS"})
# Headers of columns that are folded, beside the others or below them: a reason that is cut can't be acted on.
FOLDED = frozenset({"FOUND", "REASON"})
COMMANDS = frozenset({"WHAT TO DO"})  # headers of columns with commands to copy, which are not broken: beside or below
# Headers of columns of free text, which are shortened at the end; other cells lose their middle.
TEXT = frozenset({"AUTHOR", "COMMAND", "DESCRIPTION", "EVIDENCE", "LABELS", "MESSAGE", "OPS", "SET", "TAGS", "TEXT"})
LONG = frozenset({"TEXT"})  # of those, the headers of columns that are moved below before a name is shortened
# Headers of columns that are as short as they get.
_SHORT = {"ACTION", "BASIS", "COMPAT", "LATEST", "REGISTERED", "RESULT", "SINCE", "VERDICT", "WHEN", ""}
FIXED = NUMBERS | COMMANDS | _SHORT
DIGESTS = frozenset({"DIGEST"})  # a prefix of a digest selects a version: it is cut, without an ellipsis, to 8 digits
NAMES = frozenset({"the others"})
# Columns that a cell keeps at each step, until the table fits: free text gives way first, then digests, then names.
# Folded cells that would get fewer columns are moved below before a name is shortened.
BESIDE = ((TEXT, 16), (DIGESTS, 8), (FOLDED, 40), (TEXT, 12))
STEPS = ((TEXT, 16), (DIGESTS, 8), (TEXT, 12), (NAMES, 28), (TEXT, 10), (NAMES, 16), (TEXT, 6), (NAMES, 9))
MARGIN = 4  # columns to the left of a cell that is below the others


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

    Long cells are shortened, or folded if they say why or what to do: below the row if there is little room beside it.
    Columns of text without any are not shown. Rows without headers are names and their values,
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
            _print_columns(console, *_without_empty(table.headers, rows), width)
        else:
            _print_pairs(console, rows, width)
    # Rich pads lines to the width: the blanks would wrap when the window is made narrower.
    return "".join(line.rstrip() + "\n" for line in captured.get().splitlines())


def _without_empty(headers: Sequence[str], rows: "Rows") -> tuple[Sequence[str], "Rows"]:
    """Return the table without the columns of text in which every cell is empty."""
    shown = [
        place
        for place, header in enumerate(headers)
        if header not in TEXT | FOLDED | COMMANDS or any(row[place].plain for row in rows)
    ]
    return [headers[place] for place in shown], [[row[place] for place in shown] for row in rows]


def _print_columns(console: "Console", headers: Sequence[str], rows: "Rows", width: int) -> None:
    for moved, steps in ((frozenset[str](), BESIDE), (COMMANDS, BESIDE), (FOLDED | COMMANDS | LONG, STEPS)):
        below = [place for place, header in enumerate(headers) if header in moved]
        widths = _widths(headers, rows, width, steps, without=below)
        if _fits(widths, width):
            break
    else:
        _print_stacked(console, headers, rows)
        return
    _print_line(console, headers, [_bold(header) for header in headers], widths)
    for row in rows:
        _print_line(console, headers, row, widths)
        for place in below:
            _print_below(console, headers[place], row[place], width)


def _fits(widths: Sequence[int], width: int) -> bool:
    return _excess(widths, width) <= 0


def _excess(widths: Sequence[int], width: int) -> int:
    """Return how many columns the columns take beyond `width`; a column of the width 0 takes none."""
    return sum(size + GAP for size in widths if size) - GAP - width


def _bold(header: str) -> "Text":
    from rich.text import Text

    return Text(header, style="bold")


def _print_line(console: "Console", headers: Sequence[str], row: Sequence["Text"], widths: Sequence[int]) -> None:
    """Print a row in as many lines as its tallest cell has. Columns of the width 0 are skipped."""
    from rich.text import Text

    columns = [
        (header, size, _cell_lines(header, text, size))
        for header, text, size in zip(headers, row, widths, strict=True)
        if size
    ]
    for number in range(max(len(lines) for _, _, lines in columns)):
        line = Text()
        for place, (header, size, lines) in enumerate(columns):
            text = lines[number] if number < len(lines) else Text()
            blanks = Text(" " * (size - text.cell_len))
            line += Text(" " * GAP if place else "") + (blanks + text if header in NUMBERS else text + blanks)
        console.print(line, soft_wrap=True)


def _cell_lines(header: str, text: "Text", width: int) -> list["Text"]:
    if text.cell_len <= width or header not in FOLDED:
        return [_fitted(header, text, width)]
    from rich.text import Text

    return [Text(line, style=text.style) for line in wrap(text.plain, width, breaking=True)]


def _print_below(console: "Console", header: str, text: "Text", width: int) -> None:
    from rich.text import Text

    if text.plain:
        label = f"{header.lower()}: " if header in COMMANDS else ""
        for line in wrap(label + text.plain, width - MARGIN, breaking=header not in COMMANDS):
            console.print(Text(" " * MARGIN) + Text(line, style=text.style), soft_wrap=True)


def _widths(headers: Sequence[str], rows: "Rows", width: int, steps: "Steps", *, without: Sequence[int]) -> list[int]:
    """Return the width of each column after the steps, 0 of those `without`; more together if the table can't fit."""
    widths = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
    widths = [max(size, len(header)) for size, header in zip(widths, headers, strict=True)]
    for place in without:
        widths[place] = 0
    for kind, floor in steps:
        excess = _excess(widths, width)
        if excess <= 0:
            break
        chosen = [place for place, header in enumerate(headers) if _kind(header) is kind and place not in without]
        _shrink(widths, chosen, excess, headers, floor)
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
    if text.cell_len <= width:
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
    is_narrow = width - indent < max(MIN_VALUE, min(MAX_VALUE, width // 2))
    for name, value in rows:
        lines = wrap(value.plain, width - (MARGIN if is_narrow else indent))
        if is_narrow:
            console.print(name, soft_wrap=True)
            name, indent = Text(""), MARGIN
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
