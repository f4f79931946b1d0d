"""The ops, an op with its versions, and one version."""

from collections.abc import Sequence
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Compat, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.reports import op_list
from opstore_daemon.store.reports.overview import MAX_TEXT
from opstore_daemon.store.reports.version_list import DEFAULT_SORT, MAX_SCANNED, SORTS, Choice
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.request_values import MAX_INTEGER

ROWS = 50  # of a table
RECENT = 20  # versions that one can be compared with by a click
MAX_FILES = 100  # of a folder that are listed
MAX_PAGE = MAX_SCANNED // ROWS
PIPELINES = 12  # on the home page

# Those that `client.load` reads without running code of theirs: docs/objects.md has the list.
SAFE_FORMATS = frozenset({"bytes", "json", "numpy", "parquet", "skops", "safetensors", "xgboost", "lightgbm", "onnx"})
COMPATIBILITY: dict[Compat, str] = {
    "exact": "a link counts for its own versions only",
    "minor": "a link also counts for versions with the same major and minor number",
    "major": "a link also counts for versions with the same major number",
}


class HomeQuery(AsOf, frozen=True, kw_only=True):
    """Which ops to list."""

    after: Annotated[str, Meta(description="List only ops whose names come after this one.")] = ""
    filter: Annotated[str, Meta(description="List only ops with this text in their name or description.")] = ""
    sort: Annotated[str, Meta(description="The column to sort by, with `-` the highest first.")] = op_list.DEFAULT_SORT
    page: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="The page of a sorted or filtered list.")] = 1


class OpQuery(AsOf, frozen=True, kw_only=True):
    """Which versions to list."""

    below: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="List only versions below this sequence.")] | None = (
        None
    )
    filter: Annotated[str, Meta(description="List only versions with this text in number, tags, labels, message.")] = ""
    sort: Annotated[str, Meta(description="The column to sort by, with `-` the highest first.")] = DEFAULT_SORT
    page: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="The page of a sorted or filtered list.")] = 1


def home(_api: Api, query: HomeQuery) -> Response:
    """Show the ops with their latest versions, and the first pipelines with their verdicts."""
    _check_sort(query.sort, op_list.SORTS)
    text = query.filter.strip()[:MAX_TEXT]
    is_default = query.sort == op_list.DEFAULT_SORT and not text
    if is_default:
        lines = store().op_lines(query.after, ROWS + 1, query.value)
        found = op_list.OpList(lines[:ROWS], has_more=len(lines) > ROWS, is_cut=False)
    else:
        found = store().op_list(text, query.sort, (query.page - 1) * ROWS, ROWS, query.value)
    is_first = is_default and not query.after
    return page(
        "home.html",
        query,
        "Overview",
        is_top=True,
        found=found,
        ops=found.lines,
        pipelines=store().pipeline_lines("", PIPELINES, query.value) if is_first else [],
        after=query.after,
        text=text,
        sort=query.sort,
        is_default=is_default,
        number=query.page,
        sorted_most=op_list.MAX_SORTED,
    )


def _check_sort(sort: str, sorts: Sequence[str]) -> None:
    if sort not in sorts:
        raise errors.InvalidRequest(reason=f"the list can't be sorted by {sort[:50]!r}")


def op(_api: Api, op: OpName, query: OpQuery) -> Response:
    """Show an op: its versions with their verdicts, its tags, and the ops and pipelines that it is related to."""
    _check_sort(query.sort, SORTS)
    text = query.filter.strip()[:MAX_TEXT]
    choice = Choice(text, query.sort, query.below, skip=(query.page - 1) * ROWS)
    found = store().version_list(op, choice, ROWS, query.value)
    return page(
        "op.html",
        query,
        "Overview",
        op=op,
        found=found,
        safe_formats=SAFE_FORMATS,
        latest=store().show(Reference.of(op, found.op.latest), as_of=query.value) if found.op.latest else None,
        compatibility=COMPATIBILITY[found.op.compat],
        choice=choice,
        tags=store().tags(op, as_of=query.value),
        number=query.page,
        scanned=MAX_SCANNED,
    )


def version(_api: Api, reference: Reference, query: AsOf) -> Response:
    """Show a version, and its verdicts with the latest versions of related ops; of a removed one, what became of it."""
    try:
        found = store().details(reference, as_of=query.value)
    except errors.VersionRemoved as error:
        names = ("op", "version", "how", "before")
        return page("removed.html", query, "Overview", **{name: error.details[name] for name in names})
    recent = store().versions(found.version.op, limit=RECENT + 1, as_of=query.value).versions
    return page(
        "version.html",
        query,
        "Overview",
        version=found.version,
        is_latest=found.version.op in found.latest_of,
        ups=found.upstreams,
        downs=found.downstreams,
        has_more=found.has_more,
        runs=found.runs,
        others=_others(found.version, recent),
        folder=store().folder(found.version),
        is_object=found.version.format in SAFE_FORMATS,
        most_files=MAX_FILES,
    )


def _others(version: VersionRecord, recent: Sequence[VersionRecord]) -> list[VersionRecord]:
    """Return the recent versions except this one; the one before it comes first."""
    others = [each for each in recent if each.sequence != version.sequence]
    return sorted(others, key=lambda each: (each.sequence > version.sequence, -each.sequence))
