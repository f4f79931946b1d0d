"""Links, and the verdict between two versions."""

from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Linked, Links, NewLink, Validation
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.catalog.links import Filter
from opstore_daemon.web.framework.headers import IF_NONE_MATCH, VERDICT_ETAG
from opstore_daemon.web.framework.possible_errors import READ_ERRORS, REFERENCE_ERRORS, WRITE_ERRORS
from opstore_daemon.web.framework.query_parameters import AsOf, CountedPage, Query
from opstore_daemon.web.framework.routing import (
    Api,
    ApiRoute,
    ResponseSpec,
    has_verdict,
    json_or_304,
    json_response,
    route,
    store,
)

ROUTES: list[ApiRoute] = []


class LinksQuery(CountedPage, frozen=True, kw_only=True):
    """Which links to list."""

    op: Annotated[OpName, Meta(description="Only links from or to this op.")] | None = None
    upstream: Annotated[OpName, Meta(description="Only links from this op.")] | None = None
    downstream: Annotated[OpName, Meta(description="Only links to this op.")] | None = None
    history: Annotated[int, Meta(ge=0, le=1, description="1: all entries ever made, and not only those in force.")] = 0
    as_of: AsOf | None = None


class EdgeQuery(Query, frozen=True, kw_only=True):
    """The two versions."""

    upstream: Annotated[Reference, Meta(description="The reference of the upstream version.")]
    downstream: Annotated[Reference, Meta(description="The reference of the downstream version.")]
    as_of: AsOf | None = None


@route(
    ROUTES,
    "GET",
    routes.LINKS,
    scope="read",
    responses={200: ResponseSpec(Links, "The page.")},
    raises=(*READ_ERRORS, errors.InvalidName, errors.OpNotFound),
)
def listing(_api: Api, query: LinksQuery) -> Response:
    """List the links in force, newest first, or all entries ever made."""
    filter_ = Filter(query.op, query.upstream, query.downstream, bool(query.history))
    return json_response(store().links_page(filter_, query.cursor, query.limit, as_of=query.as_of))


@route(
    ROUTES,
    "POST",
    routes.LINKS,
    scope="write",
    responses={
        201: ResponseSpec(Linked, "The link, which is in force now."),
        200: ResponseSpec(Linked, "The link that was revoked."),
    },
    raises=(*WRITE_ERRORS, *REFERENCE_ERRORS, errors.LinkNotFound, errors.NoVersionYet),
)
def record(_api: Api, body: NewLink) -> Response:
    """Record a link, or revoke one: then the response is the link that was revoked."""
    linked = store().record_link(body.upstream, body.downstream, body.state, body.evidence)
    return json_response(linked, 200 if body.state == "revoked" else 201)


@route(
    ROUTES,
    "GET",
    routes.VERDICT,
    scope="read",
    responses={
        200: ResponseSpec(Validation, "The verdict.", (VERDICT_ETAG,)),
        304: ResponseSpec(None, "The client has this verdict.", (VERDICT_ETAG,)),
    },
    raises=(*READ_ERRORS, *REFERENCE_ERRORS),
    headers=(IF_NONE_MATCH,),
)
def verdict(_api: Api, query: EdgeQuery) -> Response:
    """Return the verdict of one edge."""
    return json_or_304(store().edge_verdict(query.upstream, query.downstream, query.as_of, unless=has_verdict))
