"""The ops, their versions, and the matrix of two ops."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from flask import Response
from markupsafe import Markup
from msgspec import Meta

from opstore_daemon.protocol import routes
from opstore_daemon.store.reports.matrix import DETAILED_VERSIONS, MAX_VERSIONS, Axis, Matrix, Run
from opstore_daemon.web.framework.routing import Api, ResponseSpec, Route, route, store
from opstore_daemon.web.page import templating
from opstore_daemon.web.page.rendering import RAISES, SHOWN, AsOf, page
from opstore_daemon.web.page.templating import SVG
from opstore_daemon.web.request_values import MAX_INTEGER

ROUTES: list[Route] = []
ROWS = 50  # of a table
PIPELINES = 12  # at a glance

Counted = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]


class Ops(AsOf, frozen=True, kw_only=True):
    """Where the list of ops begins."""

    after: Annotated[str, Meta(description="The name behind which the list begins.")] = ""


class Below(AsOf, frozen=True, kw_only=True):
    """Where the list of versions begins."""

    below: Annotated[Counted, Meta(description="The sequence below which the list begins.")] | None = None


class Corner(AsOf, frozen=True, kw_only=True):
    """Where the part of the matrix begins."""

    row: Annotated[Counted, Meta(description="The sequence of the first upstream version.")] | None = None
    column: Annotated[Counted, Meta(description="The sequence of the first downstream version.")] | None = None


@route(ROUTES, "GET", routes.HOME, scope="read", responses=SHOWN, raises=RAISES)
def home(_api: Api, query: Ops) -> Response:
    """The ops, with their latest versions and sizes, and pipelines with their verdicts."""
    ops = store().op_lines(query.after, ROWS, query.value)
    pipelines = [] if query.after else store().pipeline_lines("", PIPELINES, query.value)
    return page("home.html", query, ops=ops, pipelines=pipelines, after=query.after, full=len(ops) == ROWS)


@route(ROUTES, "GET", routes.OP_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def op(_api: Api, op: str, query: Below) -> Response:
    """An op with its versions, and what it stands beside."""
    beside = store().neighbours(op, query.value)
    return page(
        "op.html",
        query,
        op=op,
        found=store().versions(op, limit=ROWS, as_of=query.value, below=query.below),
        tags=store().tags(op, as_of=query.value),
        beside=beside,
        below=query.below,
    )


@route(ROUTES, "GET", routes.VERSION_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def version(_api: Api, op: str, selector: str, query: AsOf) -> Response:
    """All that is known of a version, and where it is valid."""
    found = store().show(f"{op}@{selector}", as_of=query.value)
    own = f"{op}@{found.version}"
    beside = store().neighbours(op, query.value)
    ups = [store().validate(up, own, as_of=query.value).edges[0] for up in beside.upstreams]
    downs = [store().validate(own, down, as_of=query.value).edges[0] for down in beside.downstreams]
    return page("version.html", query, version=found, ups=ups, downs=downs, beside=beside)


@route(ROUTES, "GET", routes.MATRIX_PAGE, scope="read", responses=SHOWN, raises=RAISES)
def matrix(_api: Api, op: str, other: str, query: Corner) -> Response:
    """Which versions of the one op are valid for which versions of the other."""
    found = store().matrix(op, other, query.row, query.column, query.value)
    up, down = found.upstream, found.downstream
    corner = {"row": _first(up), "column": _first(down)}
    return page(
        "matrix.html",
        query,
        found=found,
        corner=corner,
        rows=list(_rows(found, query)),
        steps={"row": list(_steps(up)), "column": list(_steps(down))},
        blocks=list(_blocks(up, down)),
        window=DETAILED_VERSIONS,
    )


@route(
    ROUTES, "GET", routes.MATRIX_MAP, scope="read", responses={200: ResponseSpec(SVG, "The drawing.")}, raises=RAISES
)
def matrix_map(_api: Api, op: str, other: str, query: Corner) -> Response:
    """The matrix as a drawing of a dot a cell."""
    runs = store().matrix_map(op, other, query.row, query.column, query.value)
    rows, columns = (
        max((run.row + 1 for run in runs), default=1),
        max((run.column + run.count for run in runs), default=1),
    )
    body = templating.render("map.svg", rows=_whole(rows), columns=_whole(columns), paths=_paths(runs))
    return Response(body, content_type=templating.SVG)


def _whole(count: int) -> int:
    """So many, and as many more as make whole squares of the map."""
    return -(-count // DETAILED_VERSIONS) * DETAILED_VERSIONS


def _paths(runs: Sequence[Run]) -> dict[str, str]:
    """For each verdict the path of its cells."""
    words = ("valid", "invalid", "unknown")
    return {
        word: "".join(f"M{run.column} {run.row + 0.5}h{run.count}" for run in runs if run.verdict == word)
        for word in words
    }


def _rows(found: Matrix, query: AsOf) -> Iterator[Markup]:
    """The cells of each row. Their addresses are made in halves, one of a row and one of a column."""
    up, down = found.upstream, found.downstream
    columns = [f"{down.op.name}@{column.number}" for column in down.versions] or [down.op.name]
    ends = [templating.parameters({"downstream": column, "as_of": query.as_of or None}) for column in columns]
    for row, line in zip(up.versions, found.rows, strict=True):
        yield templating.cells(
            line, templating.address(routes.EDGE_PAGE, {"upstream": f"{up.op.name}@{row.number}"}), ends
        )


def _first(axis: Axis) -> int | None:
    return axis.versions[0].sequence if axis.versions else None


def _steps(axis: Axis) -> Iterator[tuple[str, int]]:
    """Where else the part could begin along the axis: what to call it, and the sequence."""
    first = _first(axis)
    if first is None:
        return
    if first < axis.newest:
        yield "newest", axis.newest
        yield "newer", min(first + DETAILED_VERSIONS, axis.newest)
    if first > DETAILED_VERSIONS:
        yield "older", first - DETAILED_VERSIONS
        yield "oldest", min(DETAILED_VERSIONS, axis.newest)


def _blocks(up: Axis, down: Axis) -> Iterator[list[tuple[int, int, bool]]]:
    """The parts of the map that can be gone to: the sequences of each one's corner, and whether it is shown below."""
    rows, columns = list(_corners(up)), list(_corners(down))
    if len(rows) * len(columns) > 1:
        for row in rows:
            yield [(row, column, _holds(up, row) and _holds(down, column)) for column in columns]


def _holds(axis: Axis, corner: int) -> bool:
    """Whether the part that is shown begins in the part of the map with that corner."""
    first = _first(axis)
    return first is not None and corner - DETAILED_VERSIONS < first <= corner


def _corners(axis: Axis) -> Iterator[int]:
    """The first sequences of the parts of the map that begins where this part is in."""
    first = _first(axis)
    if first is not None:
        begin = axis.newest - (axis.newest - first) // MAX_VERSIONS * MAX_VERSIONS
        yield from range(begin, max(begin - MAX_VERSIONS, 0), -DETAILED_VERSIONS)
