"""Lay out a graph in layers, from its sources down, with grandalf.

The method is that of K. Sugiyama, S. Tagawa and M. Toda, "Methods for Visual Understanding of Hierarchical System
Structures", 1981.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grandalf.graphs import Edge, Graph, Vertex, graph_core
from grandalf.layouts import SugiyamaLayout, VertexViewer
from grandalf.routing import EdgeViewer

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The center of each box and the bends of each edge, in the order of boxes and edges.

    In pixels from the upper left corner of the drawing; all points are within its `width` and `height`.
    """

    centers: list[Point]
    bends: list[list[Point]]
    width: float
    height: float


class _Line(EdgeViewer):  # type: ignore[misc]
    """The line of an edge: from the center of a box, over its bends, to the center of another."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point] = []

    def setpath(self, points: Sequence[Point]) -> None:
        """Store the points: grandalf calls this when it has computed them."""
        self.points = list(points)


class _Box(Vertex):  # type: ignore[misc]
    """A box. Its hash is its number, so that sets of boxes, and thus layouts, are in the same order each time."""

    def __init__(self, number: int, width: float, height: float) -> None:
        super().__init__(number)
        self.view = VertexViewer(width, height)

    def __hash__(self) -> int:
        return int(self.data)

    def __eq__(self, other: object) -> bool:
        return self is other


class _Edge(Edge):  # type: ignore[misc]
    """An edge. Its hash is a number for the same reason."""

    def __init__(self, number: int, up: _Box, down: _Box) -> None:
        super().__init__(up, down, data=number)
        self.view = _Line()

    def __hash__(self) -> int:
        return int(self.data)

    def __eq__(self, other: object) -> bool:
        return self is other


def lay_out(count: int, edges: Sequence[tuple[int, int]], size: Point, gap: Point) -> Layout:
    """Return the layout of `count` boxes of one size, with at least the gap between them.

    `size` and `gap` are (width, height). The edges are pairs of box numbers, of an acyclic graph; each leads down.
    """
    boxes = [_Box(number, *size) for number in range(count)]
    lines = [_Edge(count + number, boxes[up], boxes[down]) for number, (up, down) in enumerate(edges)]
    right = -gap[0]
    for part in Graph(boxes, lines).C:
        right = _lay_out(part, right + gap[0], size, gap)
    centers = [box.view.xy for box in boxes]
    bottom = max(y for _, y in centers) + size[1] / 2
    return Layout(centers, [line.view.points[1:-1] for line in lines], right, bottom)


def _lay_out(part: graph_core, left: float, size: Point, gap: Point) -> float:
    """Lay out a connected part of the graph, to the right of `left`; return its right end."""
    width, height = size
    layout = SugiyamaLayout(part)
    layout.xspace, layout.yspace = gap
    layout.init_all(roots=[box for box in part.sV if not box.e_in()])
    layout.draw()
    views, lines = [box.view for box in part.sV], [edge.view for edge in part.sE]
    _spread(views, width + gap[0])
    bends = [x for line in lines for x, _ in line.points[1:-1]]
    across = left - min([view.xy[0] - width / 2 for view in views] + bends)
    down = height / 2 - min(view.xy[1] for view in views)

    def move(point: Point) -> Point:
        return round(point[0] + across, 1), round(point[1] + down, 1)

    for view in views:
        view.xy = move(view.xy)
    for line in lines:
        line.points = [move(point) for point in line.points]
    right: float = max([view.xy[0] + width / 2 for view in views] + [x + across for x in bends])
    return right


def _spread(views: Iterable[VertexViewer], step: float) -> None:
    """Move boxes of one layer apart: grandalf sometimes places two of them at the same position."""
    free: dict[float, float] = {}  # the first free position of each layer
    for view in sorted(views, key=lambda view: (view.xy[1], view.xy[0])):
        x, y = view.xy
        view.xy = max(x, free.get(y, x)), y
        free[y] = view.xy[0] + step
