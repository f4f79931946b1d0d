"""The OpenAPI 3.1 document, made of the routes that serve, the records on the wire and the family of errors."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol._version import __version__
from opstore_daemon.web.framework import possible_errors, request_body
from opstore_daemon.web.framework.headers import GIVEN_ID, ID, IF_RANGE, KEY, OF_REFUSALS, RANGE, Header
from opstore_daemon.web.framework.path_parameters import PARTS
from opstore_daemon.web.framework.routing import Answer, Error, Route

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
ABOUT = """The store for the steps of machine-learning pipelines: versions, links, verdicts, bytes.

A token has a scope, `read`, `write` or `admin`, each holding those before it; a route's security names the one that
it needs. Whatever fails is answered with a Problem whose `code` is one of those that its response lists. A request
that no path of this document has is answered with 404 `RouteNotFound`, another method of a path with 405
`MethodNotAllowed`."""


def document(served: list[Route]) -> Json:
    """The document about these routes."""
    components = _Components()
    paths: dict[str, Json] = {}
    for route in served:
        item = paths.setdefault(_template(route.rule), {})
        item[route.method.lower()] = operation = _operation(route, components)
        if route.method == "GET":
            item["head"] = _without_body(operation)
    components.refusal(HTTPStatus.METHOD_NOT_ALLOWED, [errors.MethodNotAllowed])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opstore",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(served),
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(served),
            "responses": dict(sorted(components.responses.items())),
        },
    }


def _template(rule: str) -> str:
    return re.sub("<([a-z]+)>", r"{\1}", rule)


def _tag(route: Route) -> str:
    return route.view.__module__.rpartition(".")[2]


def _tags(served: Iterable[Route]) -> list[Json]:
    modules = {_tag(route): inspect.getmodule(route.view) for route in served}
    return [{"name": name, "description": inspect.getdoc(module)} for name, module in modules.items()]


# --- operations -------------------------------------------------------------------------------------------------


def _operation(route: Route, components: "_Components") -> Json:
    summary, _, rest = (inspect.getdoc(route.view) or "").partition(". ")
    operation: Json = {
        "operationId": f"{_tag(route)}_{route.view.__name__}",
        "tags": [_tag(route)],
        "summary": summary.rstrip("."),
        "description": rest,
        "security": [] if route.scope is None else [{"token": [route.scope]}],
        "parameters": list(_parameters(route)),
    }
    if route.takes:
        content = {kind: _taken(kind, route) for kind in route.takes}
        operation["requestBody"] = {"required": True, "content": content}
    answers = {str(status): _answer(answer) for status, answer in route.answers.items()}
    problems = groupby(sorted(possible_errors.of(route), key=attrgetter("status")), key=attrgetter("status"))
    operation["responses"] = answers | {str(status): components.refusal(status, list(of)) for status, of in problems}
    return operation


def _taken(kind: str, route: Route) -> Json:
    """What a body of that type is to be."""
    record = {} if route.body is None else {"$ref": SCHEMAS + route.body.__name__}
    if kind != routes.FORM:
        return {"schema": record}
    parts = {request_body.RECORD: record, request_body.BYTES: {"type": "string", "contentMediaType": routes.BYTES_TYPE}}
    return {
        "schema": {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False},
        "encoding": {name: {"contentType": content} for name, content in request_body.PARTS.items()},
    }


def _without_body(operation: Json) -> Json:
    """The HEAD to a GET: the same statuses and headers, but for ranges, which are GET's alone."""
    responses = {
        status: {key: value for key, value in response.items() if key != "content"}
        for status, response in operation["responses"].items()
        if "$ref" not in response and status != "206"
    }
    refused = {status: {"description": "As GET is refused."} for status in ("4XX", "5XX")}
    of_ranges = (RANGE.name, IF_RANGE.name)
    return {
        **operation,
        "operationId": f"{operation['operationId']}_head",
        "summary": "What GET answers, without the body",
        "parameters": [one for one in operation["parameters"] if one["name"] not in of_ranges],
        "responses": responses | refused,
    }


def _parameters(route: Route) -> Iterator[Json]:
    for name in route.parts:
        part = PARTS[name]
        yield {"name": name, "in": "path", "required": True, "description": part.says, "schema": _schema(part.kind)}
    yield from parameters_of_query(route)
    for header in (*route.headers, *([KEY] if route.once else []), GIVEN_ID):
        yield {"name": header.name, "in": "header", **_header(header)}


def parameters_of_query(route: Route) -> Iterator[Json]:
    """What the document says of the parameters in the route's query."""
    query = _schema(route.query)
    for name, schema in query["properties"].items():
        if "anyOf" in schema:  # a parameter that does not come is null to the view
            (schema,) = (one for one in schema["anyOf"] if one != {"type": "null"})
        description = schema.pop("description")
        required = name in query["required"]
        yield {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _header(header: Header) -> Json:
    return {"description": header.says, "required": header.always, "schema": _schema(header.kind)}


def _headers(headers: Iterable[Header]) -> Json:
    return {header.name: _header(header) for header in (*headers, ID)}


def _answer(answer: Answer) -> Json:
    told: Json = {"description": answer.says, "headers": _headers(answer.headers)}
    match answer.body:
        case None:
            return told
        case str(content):
            return told | {"content": {content: {"schema": {}}}}
        case record:
            return told | {"content": {routes.JSON: {"schema": {"$ref": SCHEMAS + record.__name__}}}}


class _Components:
    """The refusals that several operations share, each under its errors' names."""

    def __init__(self) -> None:
        self.responses: dict[str, Json] = {}

    def refusal(self, status: int, possible: list[Error]) -> Json:
        """A reference to the answer with that status for one of these errors."""
        codes = [error.__name__ for error in possible]
        name = ".".join(codes)
        headers = [OF_REFUSALS[status]] if status in OF_REFUSALS else []
        code = {"properties": {"code": {"enum": codes}, "status": {"const": status}}}
        self.responses[name] = {
            "description": "\n".join([HTTPStatus(status).phrase, *map(_words, possible)]),
            "headers": _headers(headers),
            "content": {routes.PROBLEM: {"schema": {"allOf": [{"$ref": f"{SCHEMAS}Problem"}, code]}}},
        }
        return {"$ref": f"#/components/responses/{name}"}


def _words(error: Error) -> str:
    return f"- `{error.__name__}`: {error.message}"


# --- schemas ----------------------------------------------------------------------------------------------------


def _schema(kind: Any) -> Json:
    """The schema of one type, whole."""
    (schema,), components = msgspec.json.schema_components([kind])
    whole: Json = components.get(getattr(kind, "__name__", ""), schema)
    return whole


def _schemas(served: Iterable[Route]) -> Json:
    """The schemas of all records that the routes take and answer, and of those in them."""
    taken = [route.body for route in served if route.body is not None]
    told = [answer.body for route in served for answer in route.answers.values() if isinstance(answer.body, type)]
    wanted = [*dict.fromkeys([*taken, *told, records.Problem])]
    _, schemas = msgspec.json.schema_components(wanted, ref_template=SCHEMAS + "{name}")
    return {name: _record(name, schema) for name, schema in sorted(schemas.items())}


def _record(name: str, schema: Mapping[str, Any]) -> Json:
    text = inspect.cleandoc(schema["description"])
    told = {**_plain(schema), "description": re.sub(r"\bNone\b", "null", text)}
    if issubclass(getattr(records, name), records.Record):  # the daemon leaves no key out
        told["required"] = list(told["properties"])
        for value in told["properties"].values():
            value.pop("default", None)
    return told


def _plain(schema: Any) -> Any:
    """The schema with lists of so many of one kind said so, not item by item, which few programs know."""
    match schema:
        case {"prefixItems": [first, *others], **rest} if all(other == first for other in others):
            return {**rest, "items": _plain(first)}
        case dict():
            return {key: _plain(value) for key, value in schema.items()}
        case list():
            return [_plain(value) for value in schema]
    return schema
