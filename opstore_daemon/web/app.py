"""The Flask application: its routes with their scopes, the guards before them, one handler for all errors."""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from opstore_daemon.protocol import authors, errors, records, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store import Store
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.web.api import every_route
from opstore_daemon.web.errors import error_response, to_opstore_error
from opstore_daemon.web.framework import openapi
from opstore_daemon.web.framework.request_body import LIMITS
from opstore_daemon.web.framework.routing import AUTHENTICATED, Api, Route, body_parts
from opstore_daemon.web.framework.url_rule import UrlRule
from opstore_daemon.web.guards import PUBLIC, Credential, Guards, Scope
from opstore_daemon.web.page import PAGES
from opstore_daemon.web.readiness import Readiness
from opstore_daemon.web.request_log import log_request, request_id
from opstore_daemon.web.request_values import check_content

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def build(
    store: Store, guards: Guards, status: Callable[[], records.Status], stop: Callable[[], None], readiness: Readiness
) -> Flask:
    """Return the application."""
    app = Flask("OpStoreServer", root_path="/", static_folder=None, template_folder=None)
    app.url_rule_class = UrlRule
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    api = Api(store=store, guards=guards, status=status, stop=stop, document=document, readiness=readiness)
    for route in (*every_route(), *PAGES):
        route.register(app, api)
    app.before_request(lambda: _check_request(api))
    app.after_request(_finish)
    app.register_error_handler(Exception, _handle_error)
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[method-assign, assignment]
    check_scopes(app)
    return app


def _with_headers(application: "WSGIApplication") -> "WSGIApplication":
    """Return the application with HEADERS added to each response, except those that it sets itself."""
    # Outside of Flask, whose headers take ten times as long to look up and set, at each request.
    fixed = [(name.lower(), (name, value)) for name, value in HEADERS.items()]

    def respond(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        def start_with_headers(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            own = {name.lower() for name, _ in headers}
            return start(status, [*headers, *(header for name, header in fixed if name not in own)], *more)

        return application(environ, start_with_headers)

    return respond


@functools.cache
def document() -> tuple[bytes, str]:
    """Return the OpenAPI document of all routes, and its digest."""
    body = msgspec.json.encode(openapi.document(list(every_route())))
    return body, digest_of(body)


def check_scopes(app: Flask) -> None:
    """Raise RuntimeError for a route that does not declare its scope: a daemon with such a route does not start."""
    for rule in app.url_map.iter_rules():
        route: Route | None = getattr(app.view_functions[rule.endpoint], "route", None)
        if route is None or (route.scope is None) != (rule.rule in PUBLIC):
            raise RuntimeError(f"the route {rule.rule} declares no scope")


def _check_request(api: Api) -> None:
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    g.request_id = request_id(current.headers.get(routes.REQUEST_ID))
    g.started_at = time.monotonic()
    port = int(current.environ.get("SERVER_PORT") or 0)
    credential = g.credential = api.guards.check(current.headers.get, current.path, port)
    if not current.query_string.isascii():
        raise errors.InvalidRequest(reason="its query is not ASCII")
    if current.routing_exception is not None:
        raise current.routing_exception
    view = cast(Any, current_app.view_functions[cast(str, current.endpoint)])
    route = cast(Route, view.route)
    if credential is not None:
        current.environ.get(AUTHENTICATED, _nothing)()
        credential.require(cast(Scope, route.scope))
    _check_body(current, route.content_types)
    if credential is not None:
        g.store = api.store.idempotent(_idempotency(current, credential, route)).by(_author(current, route))


def _nothing() -> None:
    """Do nothing: the server does not need to know."""


def _check_body(request: Request, content_types: Sequence[str]) -> None:
    if not content_types:
        if request.content_length or "Transfer-Encoding" in request.headers:
            raise errors.InvalidRequest(reason="this request takes no body")
        return
    limit = LIMITS.get(check_content(request.headers.get, *content_types))
    if limit is not None:
        if request.content_length is None:
            raise errors.LengthRequired
        if request.content_length > limit:
            raise errors.TooLarge(what="the body", size=request.content_length, limit=limit)


def _idempotency(request: Request, credential: Credential, route: Route) -> IdempotentRequest | None:
    key = request.headers.get(routes.IDEMPOTENCY_KEY)
    if key is None or not route.changes_store:
        return None
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= 128:
        raise errors.InvalidRequest(reason="an Idempotency-Key has to be 1 to 128 printable ASCII characters")
    content = [request.method.encode(), request.full_path.encode(), *(body_parts() if route.body is not None else ())]
    return IdempotentRequest(credential.owner, key, records.fingerprint(content))


def _author(request: Request, route: Route) -> str | None:
    text = request.headers.get(routes.AUTHOR)
    if text is None or not route.changes_store:
        return None
    author = authors.from_header(text)
    if author is None:
        raise errors.InvalidRequest(reason=f"{routes.AUTHOR} does not name an author: {authors.RULE}")
    return author


def _handle_error(error: Exception) -> Response:
    status, headers, body = error_response(to_opstore_error(error, request.method, request.path), request.path)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers.append(("Allow", ", ".join(sorted(error.valid_methods))))
    return Response(body, status, headers)


def _finish(response: Response) -> Response:
    response.headers[routes.REQUEST_ID] = g.request_id
    milliseconds = (time.monotonic() - g.started_at) * 1000
    environ = request.environ
    log_request(
        g.request_id,
        request.method,
        request.path,
        response.status_code,
        milliseconds,
        peer=f"{environ.get('REMOTE_ADDR', '')}:{environ.get('REMOTE_PORT', '')}",
        credential=g.get("credential"),
    )
    return response
