"""Turn views into routes. What a route declares is both enforced and described in the OpenAPI document."""

import re
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Flask, Response, g, request

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.store import Store
from opstore_daemon.store.journal import Entry
from opstore_daemon.store.operations.validity import LatestVerdict
from opstore_daemon.store.places import never
from opstore_daemon.web.framework import path_parameters, query_parameters, request_body
from opstore_daemon.web.framework.headers import Header
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.guards import Credential, Guards, Scope
from opstore_daemon.web.readiness import Readiness

Error = type[errors.OpStoreError]

MAX_ACCEPTED = 16  # content types in an Accept header that are looked at
MAX_ETAGS = 4096  # characters: to parse 30,000 takes 45 ms
# In the WSGI environment, functions of a server that has them: whether the client has gone, and what to call for a
# request with a valid token or session.
IS_CLIENT_GONE, AUTHENTICATED = "opstore.is_client_gone", "opstore.authenticated"


@dataclass(frozen=True)
class Api:
    """The objects that views use.

    `readiness` says whether the daemon can serve requests. `document` returns the OpenAPI document and its digest;
    `stop` has the server end, or raises StopUnavailable.
    """

    store: Store
    guards: Guards
    status: Callable[[], records.Status]
    stop: Callable[[], None]
    document: Callable[[], tuple[bytes, str]]
    readiness: Readiness


@dataclass(frozen=True)
class ResponseSpec:
    """A successful response: a record as JSON, a body of a content type, or (None) no body.

    `accepted`: the content type and the record that a client gets instead if its `Accept` names that type.
    """

    body: type[records.Record] | str | None
    description: str
    headers: tuple[Header, ...] = ()
    accepted: tuple[str, type[records.Record]] | None = None


@dataclass(frozen=True, kw_only=True)
class Route(ABC):
    """One method of one path: what the application has to know before it runs the view."""

    method: str
    rule: str
    scope: Scope | None  # None: public
    content_types: tuple[str, ...] = ()  # of the body
    body: type[records.Request] | None = None  # the record in the body
    has_offset: bool = False  # of an upload, which a repetition finds moved: so it needs no idempotency key

    @property
    def path_parameters(self) -> list[str]:
        """The names of the parameters in the path."""
        return re.findall("<([a-z]+)>", self.rule)

    @property
    def changes_store(self) -> bool:
        """Whether it takes an idempotency key and an author."""
        return self.scope not in (None, "read") and self.method != "GET" and not self.has_offset

    def register(self, app: Flask, api: Api) -> None:
        """Add the route to the application."""
        endpoint = f"{self.method} {self.rule}"

        def view(**texts: str) -> Response:
            return self.respond(api, path_parameters.parse(texts))

        view.route = self  # type: ignore[attr-defined]
        app.add_url_rule(self.rule, endpoint, view, methods=[self.method], provide_automatic_options=False)

    @abstractmethod
    def respond(self, api: Api, arguments: dict[str, Any]) -> Response:
        """Respond to the current request; `arguments` are the parsed parameters of its path."""


@dataclass(frozen=True, kw_only=True)
class ApiRoute(Route):
    """A route of the HTTP API. `raises` and `headers` are in addition to those that every request has."""

    responses: Mapping[int, ResponseSpec]
    raises: tuple[Error, ...]
    headers: tuple[Header, ...]
    query: type[Query]
    view: Callable[..., Response]

    def respond(self, api: Api, arguments: dict[str, Any]) -> Response:
        """Parse the query and body that the view declares, and run the view."""
        query = query_parameters.read(self.query, request.args)
        if self.query is not Query:
            arguments["query"] = query
        if self.body is not None:
            record, *data = body_parts()
            arguments["body"] = records.decode(record, self.body)
            if routes.FORM in self.content_types:
                arguments["data"] = data[0] if data else None
        return self.view(api, **arguments)


def route(
    module_routes: list[ApiRoute],
    method: str,
    rule: str,
    *,
    scope: Scope | None,
    responses: Mapping[int, ResponseSpec],
    raises: tuple[Error, ...] = (),
    headers: tuple[Header, ...] = (),
    takes: str | None = None,
    has_offset: bool = False,
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Decorate a view; adds its route to the routes of its module.

    A view is passed the parameters of the path (path_parameters.parse); as `query` the record that this argument is
    annotated with, read from the query; as `body` likewise the record in the JSON of the request; and as `data` the
    bytes that may come with that in a form (web.framework.request_body), or None. `takes` is the content type of any
    other body. `has_offset`: see Route.
    """

    def add(view: Callable[..., Response]) -> Callable[..., Response]:
        arguments = typing.get_type_hints(view)
        body = arguments.get("body")
        content: tuple[str, ...] = () if takes is None else (takes,)
        if body is not None:
            content = (routes.JSON, routes.FORM) if "data" in arguments else (routes.JSON,)
        query = arguments.get("query", Query)
        query_parameters.fields(query)  # raises now, and not at the first request
        module_routes.append(
            ApiRoute(
                method=method,
                rule=rule,
                scope=scope,
                content_types=content,
                body=body,
                has_offset=has_offset,
                responses=responses,
                raises=raises,
                headers=headers,
                query=query,
                view=view,
            )
        )
        return view

    return add


def store() -> Store:
    """Return the store, bound to this request's idempotency key."""
    bound: Store = g.store
    return bound


def is_client_gone() -> Callable[[], bool]:
    """Return the function that says whether the client of this request has closed its connection."""
    found: Callable[[], bool] = request.environ.get(IS_CLIENT_GONE, never)
    return found


def credential() -> Credential:
    """Return the credential of this request."""
    found: Credential = g.credential
    return found


def body_parts() -> tuple[bytes, ...]:
    """Return the parts of this request's body: JSON, and bytes if it is a form."""
    if "body_parts" not in g:
        body = request.get_data()
        g.body_parts = (
            request_body.read_form(request.content_type or "", body) if request.mimetype == routes.FORM else (body,)
        )
    found: tuple[bytes, ...] = g.body_parts
    return found


def json_response(record: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the record as JSON."""
    return Response(records.encode(record), status, headers, content_type=routes.JSON)


def client_accepts(content_type: str) -> bool:
    """Return whether `Accept` names the content type: a wildcard does not count."""
    accepted = request.headers.get("Accept", "").split(",", MAX_ACCEPTED)
    return any(each.partition(";")[0].strip() == content_type for each in accepted)


def client_has(etag: str) -> bool:
    """Return whether `If-None-Match` has the etag, or `*`, which matches any (RFC 9110, 13.1.2).

    A list beyond MAX_ETAGS is not read: the whole response is correct too.
    """
    if len(request.headers.get("If-None-Match", "")) > MAX_ETAGS:
        return False
    return request.if_none_match.contains_weak(etag)


def has_verdict(entry: Entry) -> bool:
    """Return whether `If-None-Match` has the etag of the verdict as of this entry; `*` does not match one."""
    return client_has(_etag(entry)) and not request.if_none_match.star_tag


def _etag(entry: Entry) -> str:
    """Return the etag of the verdict as of this entry, which every daemon of the database gives.

    Its position alone would not do: a restore takes back positions, and later entries get them again at other times.
    """
    return f"{entry.position}-{entry.at:x}"


def json_or_304(found: LatestVerdict) -> Response:
    """Return the verdict with its etag, or 304 if the client has it."""
    etag = _etag(found.entry)
    headers = {"ETag": f'"{etag}"'}
    if found.verdict is None or client_has(etag):
        return empty_response(304, headers)
    return json_response(found.verdict, headers=headers)


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response without a body, and without the content type text/html, which Flask adds."""
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response
