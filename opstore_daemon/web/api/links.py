"""Links, and the verdict between two versions."""

from flask import Response

from opstore_daemon.protocol import routes
from opstore_daemon.protocol.records import NewLink
from opstore_daemon.store.links import Filter
from opstore_daemon.web.routing import (
    Api,
    Route,
    answer,
    body,
    cursor,
    flag,
    limit,
    needed,
    one,
    parameters,
    route,
    store,
)

ROUTES: list[Route] = []


@route(ROUTES, "GET", routes.LINKS, scope="read")
def listing(_api: Api) -> Response:
    """A page of the links in force, newest first, or of all entries that ever were. `op` is either end of them."""
    parameters("op", "upstream", "downstream", "history", "limit", "cursor")
    asked = Filter(one("op"), one("upstream"), one("downstream"), flag("history"))
    return answer(store().links_page(asked, cursor(), limit()))


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
