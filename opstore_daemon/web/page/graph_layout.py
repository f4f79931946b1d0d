"""Where the boxes of a graph stand, and where its edges bend: by grandalf, in layers as the edges lead.

The way to do it is of K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical System
Structures", 1981.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@contextmanager
def _without_numpy() -> Iterator[None]:
    """Has grandalf do without numpy, unless that is there already: it takes a tenth of a second and 20 MiB, for nothing
    that is used here.
    """
    blocked = "numpy" not in sys.modules
    if blocked:
        sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if blocked:
            del sys.modules["numpy"]


with _without_numpy():
    from grandalf.graphs import Edge, Graph, Vertex, graph_core
    from grandalf.layouts import SugiyamaLayout, VertexViewer
    from grandalf.routing import EdgeViewer

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The middle of each box, and the bends of each edge, in their orders.

    In pixels to the right and down from a corner that nothing lies beyond, nor beyond the one at `width` and `height`.
    """

    middles: list[Point]
    bends: list[list[Point]]
    width: float
    height: float


class _Course(EdgeViewer):  # type: ignore[misc]
    """Where an edge runs: from the middle of a box over its bends to the middle of another."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point] = []

    def setpath(self, points: Sequence[Point]) -> None:
        """The layout says it."""
        self.points = list(points)


class _Box(Vertex):  # type: ignore[misc]
    """A box. Its hash is its number, so that sets of boxes are in the same order each time."""

    def __init__(self, number: int, width: float, height: float) -> None:
        super().__init__(number)
        self.view = VertexViewer(width, height)

    def __hash__(self) -> int:
        return int(self.data)

    def __eq__(self, other: object) -> bool:
        return self is other


class _Edge(Edge):  # type: ignore[misc]
    """An edge; its hash is a number, too."""

    def __init__(self, number: int, up: _Box, down: _Box) -> None:
        super().__init__(up, down, data=number)
        self.view = _Course()

    def __hash__(self) -> int:
        return int(self.data)

    def __eq__(self, other: object) -> bool:
        return self is other


def lay_out(count: int, edges: Sequence[tuple[int, int]], size: Point, gap: Point) -> Layout:
    """The layout of so many boxes of a size (width and height), with at least that gap between them.

    The edges, of an acyclic graph, lead each from a box to one below it.
    """
    boxes = [_Box(number, *size) for number in range(count)]
    ways = [_Edge(count + number, boxes[up], boxes[down]) for number, (up, down) in enumerate(edges)]
    right = -gap[0]
    for part in Graph(boxes, ways).C:
        right = _lay_out(part, right + gap[0], size, gap)
    middles = [box.view.xy for box in boxes]
    bottom = max(y for _, y in middles) + size[1] / 2
    return Layout(middles, [way.view.points[1:-1] for way in ways], right, bottom)


def _lay_out(part: graph_core, left: float, size: Point, gap: Point) -> float:
    """Lays out a part that hangs together, to the right of that; returns where it ends."""
    width, height = size
    layout = SugiyamaLayout(part)
    layout.xspace, layout.yspace = gap
    layout.init_all(roots=[box for box in part.sV if not box.e_in()])
    layout.draw()
    views, courses = [box.view for box in part.sV], [way.view for way in part.sE]
    _spread(views, width + gap[0])
    bends = [x for course in courses for x, _ in course.points[1:-1]]
    across = left - min([view.xy[0] - width / 2 for view in views] + bends)
    down = height / 2 - min(view.xy[1] for view in views)

    def moved(point: Point) -> Point:
        return round(point[0] + across, 1), round(point[1] + down, 1)

    for view in views:
        view.xy = moved(view.xy)
    for course in courses:
        course.points = [moved(point) for point in course.points]
    right: float = max([view.xy[0] + width / 2 for view in views] + [x + across for x in bends])
    return right


def _spread(views: Iterable[VertexViewer], step: float) -> None:
    """Moves boxes of one rank apart: grandalf now and then puts two of them in one place."""
    free: dict[float, float] = {}  # where the next box of a rank may stand
    for view in sorted(views, key=lambda view: (view.xy[1], view.xy[0])):
        x, y = view.xy
        view.xy = max(x, free.get(y, x)), y
        free[y] = view.xy[0] + step
