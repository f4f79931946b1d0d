"""A pipeline as a drawing: where each op stands and each edge runs. fast-sugiyama lays it out (Sugiyama, Tagawa and
Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fast_sugiyama import from_edges

from opstore_daemon.protocol.records import EdgeVerdict, OpNumber, Validation

WIDTH, HEIGHT = 190, 46  # of an op's box, in pixels
GAP, RISE = 26, 58  # between boxes beside each other, and between those above each other
MARGIN = 14
LETTERS = 22  # that a box has room for

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """An op in the drawing, by its upper left corner."""

    op: OpNumber
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
    places, bends = _places(found)
    left = min((x for x, _ in places.values()), default=0.0)
    top = min((y for _, y in places.values()), default=0.0)

    def at(point: Point) -> Point:
        """From the layout's units, which are boxes and ranks, to pixels: the middle of a box."""
        x, y = point
        across, down = (x - left) * (WIDTH + GAP), (y - top) * (HEIGHT + RISE)
        return round(MARGIN + WIDTH / 2 + across, 1), round(MARGIN + HEIGHT / 2 + down, 1)

    middles = {name: at(point) for name, point in places.items()}
    boxes = [
        Box(op, middles[op.op][0] - WIDTH / 2, middles[op.op][1] - HEIGHT / 2, _shortened(op.op))
        for op in found.versions
    ]
    lines = []
    for edge in found.edges:
        (x0, y0), (x1, y1) = middles[edge.upstream.op], middles[edge.downstream.op]
        between = [at(point) for point in bends.get((edge.upstream.op, edge.downstream.op), ())]
        points = [(x0, y0 + HEIGHT / 2), *between, (x1, y1 - HEIGHT / 2 - 5)]
        lines.append(Line(edge, _path(points), _middle(points)))
    every_x = [x for x, _ in middles.values()] + [x for line in bends.values() for x, _ in map(at, line)]
    return Drawing(
        width=max(every_x, default=0) + WIDTH / 2 + MARGIN,
        height=max((y for _, y in middles.values()), default=0) + HEIGHT / 2 + MARGIN,
        boxes=boxes,
        lines=lines,
    )


def _places(found: Validation) -> tuple[dict[str, Point], dict[tuple[str, str], list[Point]]]:
    """Where each op stands, and which bends each edge has, in boxes to the right and ranks down."""
    places: dict[str, Point] = {}
    bends: dict[tuple[str, str], list[Point]] = {}
    offset = 0.0
    edges = [(edge.upstream.op, edge.downstream.op) for edge in found.edges]
    for vertices, width, _, parts in from_edges(edges, vertex_spacing=1, dummy_vertices=True, dummy_size=0.4):
        ranks = {y: rank for rank, y in enumerate(sorted({y for _, (_, y) in vertices}, reverse=True))}
        at = {vertex: (x + offset, float(ranks[y])) for vertex, (x, y) in vertices}
        places |= {vertex: point for vertex, point in at.items() if isinstance(vertex, str)}
        bends |= {ends: [at[bend] for bend in between] for ends, between in _ways(parts or ())}
        offset += width + 1
    for op in found.versions:  # those without an edge
        if op.op not in places:
            places[op.op] = (offset, 0.0)
            offset += 1
    return places, bends


def _ways(parts: Iterable[tuple[str | int, str | int]]) -> Iterator[tuple[tuple[str, str], list[int]]]:
    """The edges that pass other ranks: their ends, and the vertices between, whose names are numbers."""
    parts = list(parts)
    following = {first: last for first, last in parts if isinstance(first, int)}
    for first, last in parts:
        if isinstance(first, str) and isinstance(last, int):
            between: list[int] = []
            end: str | int = last
            while isinstance(end, int):
                between.append(end)
                end = following[end]
            yield (first, end), between


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
