"""How a view becomes a route. What a route declares is at once what is enforced and what the OpenAPI document says."""

import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import Flask, Response, g, request

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.store import Store
from opstore_daemon.web.framework import query_parameters, request_body
from opstore_daemon.web.framework.headers import Header
from opstore_daemon.web.framework.query_parameters import Query
from opstore_daemon.web.guards import Credential, Guards, Scope

Error = type[errors.OpStoreError]


@dataclass(frozen=True)
class Api:
    """What the views work on. `document` is the OpenAPI document, and its digest."""

    store: Store
    guards: Guards
    status: Callable[[], records.Status]
    document: Callable[[], tuple[bytes, str]]


@dataclass(frozen=True)
class Answer:
    """What a route answers where all is well: a record as JSON, or a body of a content type, or (None) no body."""

    body: type[records.Record] | str | None
    says: str
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Route:
    """One method of one path. `raises` and `headers` are those besides what every request may meet or have."""

    method: str
    rule: str
    scope: Scope | None  # None: public
    answers: Mapping[int, Answer]
    raises: tuple[Error, ...]
    headers: tuple[Header, ...]
    takes: tuple[str, ...]  # the content types of a body
    query: type[Query]
    body: type[records.Request] | None  # the record in the body
    view: Callable[..., Response]

    @property
    def parts(self) -> list[str]:
        """The names of the path's parts."""
        return re.findall("<([a-z]+)>", self.rule)

    @property
    def once(self) -> bool:
        """Whether it takes an idempotency key: what changes the store does, but an append has its offset instead."""
        return self.scope not in (None, "read") and self.method != "GET" and routes.APPEND_TYPE not in self.takes

    def register(self, app: Flask, api: Api) -> None:
        """Puts the route into the application."""
        endpoint = f"{self.method} {self.rule}"

        def view(**parts: str) -> Response:
            return self._serve(api, parts)

        view.route = self  # type: ignore[attr-defined]
        app.add_url_rule(self.rule, endpoint, view, methods=[self.method], provide_automatic_options=False)

    def _serve(self, api: Api, given: dict[str, Any]) -> Response:
        query = query_parameters.read(self.query, request.args)
        if self.query is not Query:
            given["query"] = query
        if self.body is not None:
            record, *data = parts()
            given["body"] = records.decode(record, self.body)
            if routes.FORM in self.takes:
                given["data"] = data[0] if data else None
        return self.view(api, **given)


def route(
    routes_of_module: list[Route],
    method: str,
    rule: str,
    *,
    scope: Scope | None,
    answers: Mapping[int, Answer],
    raises: tuple[Error, ...] = (),
    headers: tuple[Header, ...] = (),
    takes: str | None = None,
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Adds the view below it to the routes of its module.

    A view gets the parts of the path by their names. One with an argument `query` gets the record that this is
    annotated with, read from the query; one with `body` the record that the JSON of the request has; one with `data`
    the bytes too that may come with that (web.bodies), or None.
    """

    def add(view: Callable[..., Response]) -> Callable[..., Response]:
        arguments = typing.get_type_hints(view)
        body = arguments.get("body")
        content: tuple[str, ...] = () if takes is None else (takes,)
        if body is not None:
            content = (routes.JSON, routes.FORM) if "data" in arguments else (routes.JSON,)
        query = arguments.get("query", Query)
        query_parameters.fields(query)  # or it fails when it is asked
        routes_of_module.append(Route(method, rule, scope, answers, raises, headers, content, query, body, view))
        return view

    return add


def store() -> Store:
    """The store, bound to this request's idempotency key."""
    bound: Store = g.store
    return bound


def credential() -> Credential:
    """Who asks."""
    asks: Credential = g.credential
    return asks


def parts() -> tuple[bytes, ...]:
    """The parts of this request's body: JSON, and, where it is a form, bytes."""
    if "parts" not in g:
        body = request.get_data()
        g.parts = (
            request_body.read_form(request.content_type or "", body) if request.mimetype == routes.FORM else (body,)
        )
    found: tuple[bytes, ...] = g.parts
    return found


def answer(record: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The record as JSON."""
    return Response(records.encode(record), status, headers, content_type=routes.JSON)


def seen(etag: str) -> bool:
    """Whether the asker has it: it stands in `If-None-Match`, or `*` does, which is anything (RFC 9110, 13.1.2)."""
    return request.if_none_match.contains_weak(etag)


def seen_at(position: int) -> bool:
    """Whether the asker has the verdict of that position, by its etag: `*` is of what can be told only."""
    return not request.if_none_match.star_tag and seen(str(position))


def unless_seen(told: records.Validation | int) -> Response:
    """The verdict with its etag, or 304 where the asker has it: then its position is enough."""
    position = told if isinstance(told, int) else told.position
    headers = {"ETag": f'"{position}"'}
    if isinstance(told, int) or seen(str(position)):
        return nothing(304, headers)
    return answer(told, headers=headers)


def nothing(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """No body, and so no content type, which Flask would say is HTML."""
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response
