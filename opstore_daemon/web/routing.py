"""How a view becomes a route: it declares its method, its scope and what body it takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from flask import Flask, Response, g, request

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.store import Store
from opstore_daemon.web.guards import Credential, Guards, Scope, parse_count

T = TypeVar("T")


@dataclass(frozen=True)
class Api:
    """What the views work on."""

    store: Store
    guards: Guards
    status: Callable[[], records.Status]
    prove: Callable[[str, int], str]
    views: dict[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    rule: str
    scope: Scope | None  # None: public
    takes: str | None
    view: Callable[..., Response]

    def register(self, app: Flask, api: Api) -> None:
        """Puts the route into the application."""
        endpoint = f"{self.method} {self.rule}"

        def view(**parts: str) -> Response:
            return self.view(api, **parts)

        view.scope, view.takes = self.scope, self.takes  # type: ignore[attr-defined]
        api.views[endpoint] = view
        app.add_url_rule(self.rule, endpoint, view, methods=[self.method], provide_automatic_options=False)


def route(
    routes_of_module: list[Route], method: str, rule: str, *, scope: Scope | None, takes: str | None = None
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Adds the function below it to the routes of its module."""

    def add(view: Callable[..., Response]) -> Callable[..., Response]:
        routes_of_module.append(Route(method, rule, scope, takes, view))
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


def body(kind: type[T]) -> T:
    """The request's JSON; raises InvalidRequest."""
    return records.decode(request.get_data(), kind)


def answer(record: msgspec.Struct, status: int = 200) -> Response:
    """The record as JSON."""
    return Response(records.encode(record), status, content_type=routes.JSON)


def parameters(*known: str) -> None:
    """Raises InvalidRequest where the query has a parameter that is none of these: a typo must not widen an answer."""
    for name in request.args:
        if name not in known:
            raise errors.InvalidRequest(reason=f"there is no parameter {name[:50]!r} here")


def one(name: str) -> str | None:
    """The parameter, which may come once; raises InvalidRequest."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise errors.InvalidRequest(reason=f"the parameter {name!r} comes twice")
    return values[0] if values else None


def needed(name: str) -> str:
    """The parameter, which has to come once; raises InvalidRequest."""
    value = one(name)
    if value is None:
        raise errors.InvalidRequest(reason=f"the parameter {name!r} is missing")
    return value


def flag(name: str) -> bool:
    """The parameter, 1 or 0, which may come once; raises InvalidRequest."""
    text = one(name)
    return text is not None and parse_count(text, name, 1) == 1


def limit() -> int:
    """How many rows a page may have."""
    text = one("limit")
    wanted = 100 if text is None else parse_count(text, "limit", routes.MAX_LIMIT)
    if wanted < 1:
        raise errors.InvalidRequest(reason="limit is to be at least 1")
    return wanted


def cursor() -> int | None:
    """Where a page begins, as an answer's `next_cursor` said."""
    text = one("cursor")
    return None if text is None else parse_count(text, "cursor")
