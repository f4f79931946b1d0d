"""The matrix of two ops: which versions of one are valid for which versions of the other.

A page shows DETAILED_VERSIONS by DETAILED_VERSIONS cells; a map above them has a dot for each cell of MAX_VERSIONS by
MAX_VERSIONS, and links to the part around each dot. Each square of the map has as many cells as a page shows.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from flask import Response
from markupsafe import Markup
from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.store.reports.matrix import DETAILED_VERSIONS, MAX_VERSIONS, Axis, Matrix, Run
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page import looks, templating
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER

Sequence_ = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]


class MatrixQuery(AsOf, frozen=True, kw_only=True):
    """Where the shown part of the matrix begins."""

    row: Annotated[Sequence_, Meta(description="The sequence of the first upstream version.")] | None = None
    column: Annotated[Sequence_, Meta(description="The sequence of the first downstream version.")] | None = None


def matrix(_api: Api, op: OpName, other: OpName, query: MatrixQuery) -> Response:
    """Show a part of the matrix, with the map."""
    found = store().matrix(op, other, query.row, query.column, query.value)
    up, down = found.upstream, found.downstream
    return page(
        "matrix.html",
        query,
        "Overview",
        found=found,
        corner={"row": _first(up), "column": _first(down)},
        rows=list(_rows(found, query)),
        steps={"row": list(_steps(up)), "column": list(_steps(down))},
        squares=list(_squares(up, down)),
        map={"row": up.map_start, "column": down.map_start},
        sizes={"row": _sizes(up), "column": _sizes(down)},
        window=DETAILED_VERSIONS,
    )


def matrix_map(_api: Api, op: OpName, other: OpName, query: MatrixQuery) -> Response:
    """Draw the map: a dot for each cell."""
    runs = store().matrix_map(op, other, query.row, query.column, query.value)
    rows = max((run.row + 1 for run in runs), default=1)
    columns = max((run.column + run.count for run in runs), default=1)
    body = templating.render("map.svg", rows=rows, columns=columns, paths=_paths(runs))
    return Response(body, content_type=templating.SVG)


def _paths(runs: Sequence[Run]) -> dict[str, str]:
    """Return the SVG path of the cells with each look."""
    return {
        look.name: "".join(f"M{run.column} {run.row + 0.5}h{run.count}" for run in runs if run.look == look.name)
        for look in looks.LOOKS
    }


def _rows(found: Matrix, query: AsOf) -> Iterator[Markup]:
    """Yield the cells of each row. Their URLs are made from two halves, one of the row and one of the column."""
    up, down = found.upstream, found.downstream
    columns = [f"{down.op.name}@{column.number}" for column in down.versions] or [down.op.name]
    ends = [templating.parameters({"downstream": column, "as_of": query.value}) for column in columns]
    for row, verdicts in zip(up.versions, found.rows, strict=True):
        start = templating.address(routes.EDGE_PAGE, {"upstream": f"{up.op.name}@{row.number}"})
        yield templating.cells(verdicts, start, ends)


def _first(axis: Axis) -> int | None:
    return axis.versions[0].sequence if axis.versions else None


def _steps(axis: Axis) -> Iterator[tuple[str, int]]:
    """Yield the parts to go to along the axis: the text of the link, and the sequence where the part begins."""
    if axis.newer is not None:
        yield "newest", axis.newest
        yield "newer", axis.newer
    if axis.older is not None and axis.oldest is not None:
        yield "older", axis.older
        yield "oldest", axis.oldest


def _squares(up: Axis, down: Axis) -> Iterator[list[tuple[int, int, bool]]]:
    """Yield the squares of each row of the map: the sequences where each begins, and whether it is the shown part."""
    rows, columns = list(_square_starts(up)), list(_square_starts(down))
    if len(rows) * len(columns) > 1:
        for row in rows:
            yield [(row, column, _is_shown(up, row) and _is_shown(down, column)) for column in columns]


def _sizes(axis: Axis) -> list[float]:
    """Return how much of the map each square takes, in percent: one with removed versions has fewer than the rest."""
    counts = [sum(start - DETAILED_VERSIONS < each <= start for each in axis.mapped) for start in _square_starts(axis)]
    return [round(100 * count / sum(counts), 3) for count in counts]


def _is_shown(axis: Axis, start: int) -> bool:
    """Return whether the shown part begins in the square that begins at this sequence."""
    first = _first(axis)
    return first is not None and start - DETAILED_VERSIONS < first <= start


def _square_starts(axis: Axis) -> Iterator[int]:
    """Yield the sequences where the squares begin that have versions, of the map that the shown part is in."""
    for start in range(axis.map_start, max(axis.map_start - MAX_VERSIONS, 0), -DETAILED_VERSIONS):
        if any(start - DETAILED_VERSIONS < each <= start for each in axis.mapped):
            yield start
