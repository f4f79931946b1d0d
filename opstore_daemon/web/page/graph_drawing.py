"""Draw a pipeline: the position of each op, the path of each edge, and the position of its mark."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, Validation
from opstore_daemon.web.page.graph_layout import Point, lay_out
from opstore_daemon.web.page.words import middle

HEIGHT = 46  # of an op's box, in pixels
MIN_WIDTH, MAX_WIDTH = 100, 200  # of all boxes of a drawing: the longest label decides
PADDING = 12  # beside a label
MAX_LABEL = 27  # characters: no more of the narrowest ones fit into the widest box
GAP, RISE = 26, 58  # between boxes in a row, and between rows
MARGIN = 14
MAX_STEP = 28  # between two lines that meet one side of a box
# A layout takes half a second at these limits, and grows with the square of both. Nobody can read a larger one anyway.
MAX_BOXES = 200
MAX_SEGMENTS = 3000  # of lines: an edge has one for each row that it goes down


@dataclass(frozen=True, slots=True)
class Box:
    """The box of an op; `x` and `y` are its upper left corner."""

    op: OpVersion
    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """The line of an edge: its SVG path, and the position of its mark."""

    edge: EdgeVerdict
    path: str
    mark: Point


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing, in pixels. All boxes have the width `box_width`."""

    box_width: float
    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]


def draw(found: Validation) -> Drawing | None:
    """Return the drawing of the verdict over a pipeline, where data flows down; None if it would be too large."""
    number = {op.op: place for place, op in enumerate(found.versions)}
    if len(number) > MAX_BOXES or _segments(found) > MAX_SEGMENTS:
        return None
    ends = [(number[edge.upstream.op], number[edge.downstream.op]) for edge in found.edges]
    labels = [_label(op.op) for op in found.versions]
    box_width = max([MIN_WIDTH, *(ceil(_text_width(label)) + 2 * PADDING for label in labels)])
    layout = lay_out(len(number), ends, (box_width, HEIGHT), (GAP, RISE))
    centers = [_in_margins(center) for center in layout.centers]
    boxes = [
        Box(op, round(x - box_width / 2, 1), y - HEIGHT / 2, label)
        for op, label, (x, y) in zip(found.versions, labels, centers, strict=True)
    ]
    bends = [[_in_margins(bend) for bend in each] for each in layout.bends]
    starts = _spread(
        [centers[up] for up, _ in ends],
        [(*each, centers[down])[0] for each, (_, down) in zip(bends, ends, strict=True)],
        box_width,
    )
    stops = _spread(
        [centers[down] for _, down in ends],
        [(centers[up], *each)[-1] for each, (up, _) in zip(bends, ends, strict=True)],
        box_width,
    )
    lines = [
        _line(edge, start, between, stop)
        for edge, start, between, stop in zip(found.edges, starts, bends, stops, strict=True)
    ]
    return Drawing(box_width, layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, boxes, lines)


def _segments(found: Validation) -> int:
    """Return over how many rows all edges go together; a row is as far down as the longest way to it."""
    row: dict[str, int] = {op.op: 0 for op in found.versions}  # upstream ops come first
    downstreams: dict[str, list[str]] = {op: [] for op in row}
    for edge in found.edges:
        downstreams[edge.upstream.op].append(edge.downstream.op)
    for op in row:
        for down in downstreams[op]:
            row[down] = max(row[down], row[op] + 1)
    return sum(row[edge.downstream.op] - row[edge.upstream.op] for edge in found.edges)


def _label(name: str) -> str:
    """Return the name, shortened in its middle until it fits into the widest box."""
    return next(
        label
        for most in range(min(len(name), MAX_LABEL), 0, -1)
        if _text_width(label := middle(name, most)) <= MAX_WIDTH - 2 * PADDING or most == 1
    )


def _text_width(text: str) -> float:
    """Return how many pixels a label takes at most, in the widest of the usual fonts (DejaVu Sans, bold, 13 px)."""
    return sum(13.6 if letter in "mw…" else 6.5 if letter in "fijlrt._-" else 9.3 for letter in text)


def _in_margins(point: Point) -> Point:
    return point[0] + MARGIN, point[1] + MARGIN


def _spread(boxes: Sequence[Point], others: Sequence[Point], box_width: float) -> list[Point]:
    """Return where each line meets its box, given by its center: the lines of one box side by side.

    `others` are the points that the lines come from or go to; in the order of these no two lines of a box cross.
    """
    lines_of: dict[Point, list[int]] = {}
    for line in sorted(range(len(boxes)), key=lambda line: others[line]):
        lines_of.setdefault(boxes[line], []).append(line)
    points = list(boxes)
    for (x, y), lines in lines_of.items():
        step = min(MAX_STEP, (box_width - 30) / len(lines))
        for number, line in enumerate(lines):
            points[line] = round(x + (number - (len(lines) - 1) / 2) * step, 1), y
    return points


def _line(edge: EdgeVerdict, start: Point, bends: Sequence[Point], end: Point) -> Line:
    """Return the line from the bottom of one box, over the bends, to the top of the other."""
    points = [(start[0], start[1] + HEIGHT / 2), *bends, (end[0], end[1] - HEIGHT / 2 - 1)]
    return Line(edge, _path(points), _middle(points))


def _path(points: Sequence[Point]) -> str:
    """Return a curve through the points that starts and ends vertically."""
    (x, y), *rest = points
    parts = [f"M{x:g} {y:g}"]
    for end_x, end_y in rest:
        half = (y + end_y) / 2
        parts.append(f"C{x:g} {half:g} {end_x:g} {half:g} {end_x:g} {end_y:g}")
        x, y = end_x, end_y
    return "".join(parts)


def _middle(points: Sequence[Point]) -> Point:
    if len(points) % 2:
        return points[len(points) // 2]
    (x0, y0), (x1, y1) = points[len(points) // 2 - 1], points[len(points) // 2]
    return (x0 + x1) / 2, (y0 + y1) / 2
