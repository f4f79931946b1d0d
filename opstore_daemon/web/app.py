"""The Flask application: routes with their scopes, the guards before them, one handler for all errors."""

import functools
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import MethodNotAllowed

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store import Store
from opstore_daemon.store.idempotency import IdempotentRequest
from opstore_daemon.web import answers
from opstore_daemon.web import errors as web_errors
from opstore_daemon.web.api import every_route
from opstore_daemon.web.framework import openapi
from opstore_daemon.web.framework.request_body import LIMITS
from opstore_daemon.web.framework.routing import Api, Route, parts
from opstore_daemon.web.guards import PUBLIC, Credential, Guards, Scope, check_content, without_code
from opstore_daemon.web.page import every_page

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("opstore.access")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """The name of a request in the log: the one that was given, if it is well-formed, or one that we make."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:16]


def note(name: str, method: str, path: str, status: int, milliseconds: float = 0.0) -> None:
    """Enters a request into the log. Paths hold names only; headers, which hold tokens, are never logged."""
    asked_often = path in (routes.HEALTH, routes.READY)  # clients ask for a proof all the time
    level = logging.DEBUG if asked_often else logging.INFO
    shown = without_code(path).encode("unicode_escape").decode()
    log.log(level, "%s %s %s %d %.1f ms", name, method, shown, status, milliseconds)


def build(store: Store, guards: Guards, status: Callable[[], records.Status]) -> Flask:
    """Return the application."""
    app = Flask("OpStoreServer", root_path="/", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    api = Api(store=store, guards=guards, status=status, document=document)
    for route in (*every_route(), *every_page()):
        route.register(app, api)
    app.before_request(lambda: _guard(api))
    app.after_request(_finish)
    app.register_error_handler(Exception, _refuse)
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[method-assign, assignment]
    check_scopes(app)
    return app


def _with_headers(application: "WSGIApplication") -> "WSGIApplication":
    """The same, with all of HEADERS that an answer has not itself."""
    # Behind Flask, whose headers take ten times as long to be looked for and set, at each request.
    fixed = [(name.lower(), (name, value)) for name, value in HEADERS.items()]

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            told = {name.lower() for name, _ in headers}
            return start(status, [*headers, *(header for name, header in fixed if name not in told)], *more)

        return application(environ, begin)

    return answer


@functools.cache
def document() -> tuple[bytes, str]:
    """The OpenAPI document of all routes, and its digest."""
    body = msgspec.json.encode(openapi.document(list(every_route())))
    return body, digest_of(body)


def check_scopes(app: Flask) -> None:
    """Raises RuntimeError where a route does not declare the scope that it needs: such a daemon does not start."""
    for rule in app.url_map.iter_rules():
        route: Route | None = getattr(app.view_functions[rule.endpoint], "route", None)
        if route is None or (route.scope is None) != (rule.rule in PUBLIC):
            raise RuntimeError(f"the route {rule.rule} declares no scope")


def _guard(api: Api) -> None:
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    g.request_id = request_id(asked.headers.get(routes.REQUEST_ID))
    g.began = time.monotonic()
    port = int(asked.environ.get("SERVER_PORT") or 0)
    credential = api.guards.check(asked.headers.get, asked.path, port)
    if not asked.query_string.isascii():
        raise errors.InvalidRequest(reason="its query is not ASCII")
    if asked.routing_exception is not None:
        raise asked.routing_exception
    view = cast(Any, current_app.view_functions[cast(str, asked.endpoint)])
    route = cast(Route, view.route)
    if credential is not None:
        credential.require(cast(Scope, route.scope))
    _check_body(asked, route.takes)
    if credential is not None:
        g.credential = credential
        g.store = api.store.idempotent(_once(asked, credential, route))


def _check_body(request: Request, takes: Sequence[str]) -> None:
    if not takes:
        if request.content_length or "Transfer-Encoding" in request.headers:
            raise errors.InvalidRequest(reason="this request takes no body")
        return
    limit = LIMITS.get(check_content(request.headers.get, *takes))
    if limit is not None:
        if request.content_length is None:
            raise errors.LengthRequired
        if request.content_length > limit:
            raise errors.TooLarge(what="the body", size=request.content_length, limit=limit)


def _once(request: Request, credential: Credential, route: Route) -> IdempotentRequest | None:
    key = request.headers.get(routes.IDEMPOTENCY_KEY)
    if key is None or not route.once:
        return None
    if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= 128:
        raise errors.InvalidRequest(reason="an Idempotency-Key is 1 to 128 printable ASCII characters")
    asked = [request.method.encode(), request.full_path.encode(), *(parts() if route.body is not None else ())]
    return IdempotentRequest(credential.owner, key, records.fingerprint(asked))


def _refuse(error: Exception) -> Response:
    told = web_errors.understood(error, request.method, request.path)
    status, headers, body = answers.refusal(told, request.path)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers.append(("Allow", ", ".join(sorted(error.valid_methods))))
    return Response(body, status, headers)


def _finish(response: Response) -> Response:
    response.headers[routes.REQUEST_ID] = g.request_id
    note(g.request_id, request.method, request.path, response.status_code, (time.monotonic() - g.began) * 1000)
    return response
