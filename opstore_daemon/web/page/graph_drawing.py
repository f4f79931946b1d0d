"""A pipeline as a drawing: where each op stands, how each edge runs, and where its mark is."""

from collections.abc import Sequence
from dataclasses import dataclass

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, Validation
from opstore_daemon.web.page.graph_layout import Point, lay_out

WIDTH, HEIGHT = 190, 46  # of an op's box, in pixels
GAP, RISE = 26, 58  # between boxes beside each other, and between those above each other
MARGIN = 14
LETTERS = 22  # that a box has room for


@dataclass(frozen=True, slots=True)
class Box:
    """An op in the drawing, by its upper left corner."""

    op: OpVersion
    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """An edge in the drawing: its path (SVG), and where its mark stands."""

    edge: EdgeVerdict
    path: str
    mark: Point


@dataclass(frozen=True, slots=True)
class Drawing:
    """All of it, in pixels."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]


def draw(found: Validation) -> Drawing:
    """The drawing of a verdict over a pipeline: data flows down."""
    number = {op.op: place for place, op in enumerate(found.versions)}
    ends = [(number[edge.upstream.op], number[edge.downstream.op]) for edge in found.edges]
    layout = lay_out(len(number), ends, (WIDTH, HEIGHT), (GAP, RISE))
    middles = [_in_margins(middle) for middle in layout.middles]
    boxes = [
        Box(op, x - WIDTH / 2, y - HEIGHT / 2, _shortened(op.op))
        for op, (x, y) in zip(found.versions, middles, strict=True)
    ]
    lines = [
        _line(edge, middles[up], [_in_margins(bend) for bend in bends], middles[down])
        for edge, (up, down), bends in zip(found.edges, ends, layout.bends, strict=True)
    ]
    return Drawing(layout.width + 2 * MARGIN, layout.height + 2 * MARGIN, boxes, lines)


def _in_margins(point: Point) -> Point:
    return point[0] + MARGIN, point[1] + MARGIN


def _line(edge: EdgeVerdict, start: Point, bends: Sequence[Point], end: Point) -> Line:
    """The line from below the one box, over its bends, to above the other."""
    points = [(start[0], start[1] + HEIGHT / 2), *bends, (end[0], end[1] - HEIGHT / 2 - 5)]
    return Line(edge, _path(points), _middle(points))


def _path(points: Sequence[Point]) -> str:
    """A curve through the points that leaves and arrives straight down."""
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


def _shortened(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 8]}…{name[-7:]}"
