"""Links, and the verdict between two versions."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import NewLink
from opstore_daemon.web.routing import Api, Route, answer, body, cursor, limit, needed, one, parameters, route, store

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.LINKS, scope="read")
def listing(_api: Api) -> Response:
    """A page of the links in force, newest first; of one op, either way, with `op`."""
    parameters("op", "limit", "cursor")
    return answer(store().links_page(one("op"), cursor(), limit()))


@route(ROUTES, "POST", routes.LINKS, scope="write", takes=routes.JSON)
def enter(_api: Api) -> Response:
    """An entry; for `revoked`, answers the link that was revoked."""
    parameters()
    wanted = body(NewLink)
    record = store().enter_link(wanted.upstream, wanted.downstream, wanted.state, wanted.evidence)
    return answer(record, 200 if wanted.state == "revoked" else 201)


@route(ROUTES, "GET", routes.VERDICT, scope="read")
def verdict(_api: Api) -> Response:
    """The verdict for one edge."""
    parameters("upstream", "downstream")
    return answer(store().validate(needed("upstream"), needed("downstream")))
