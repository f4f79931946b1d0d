"""The OpenAPI 3.1 document, generated from the routes, their records and their errors."""

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
from opstore_daemon.web.framework import request_body
from opstore_daemon.web.framework.headers import (
    AUTHOR,
    IDEMPOTENCY_KEY,
    IF_RANGE,
    OF_ERRORS,
    RANGE,
    REQUEST_ID,
    RESPONSE_ID,
    Header,
)
from opstore_daemon.web.framework.path_parameters import PATH_PARAMETERS
from opstore_daemon.web.framework.possible_errors import possible_errors
from opstore_daemon.web.framework.routing import ApiRoute, Error, ResponseSpec

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
ABOUT = """The store for the steps of machine-learning pipelines: versions, links, verdicts, bytes.

A token has a scope, `read`, `write` or `admin`, each including those before it; a route's security names the scope that
it requires. The response to a request that fails is a Problem; its `code` is one of those listed for its status. A path
that is not in this document is 404 `RouteNotFound`, another method of a path is 405 `MethodNotAllowed`."""


def document(api_routes: list[ApiRoute]) -> Json:
    """Return the document that describes these routes."""
    components = _Components()
    paths: dict[str, Json] = {}
    for route in api_routes:
        item = paths.setdefault(_template(route.rule), {})
        item[route.method.lower()] = operation = _operation(route, components)
        if route.method == "GET":
            item["head"] = _without_body(operation)
    components.error_response(HTTPStatus.METHOD_NOT_ALLOWED, [errors.MethodNotAllowed])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "opstore",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(api_routes),
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(api_routes),
            "responses": dict(sorted(components.responses.items())),
        },
    }


def _template(rule: str) -> str:
    return re.sub("<([a-z]+)>", r"{\1}", rule)


def _tag(route: ApiRoute) -> str:
    return route.view.__module__.rpartition(".")[2]


def _tags(api_routes: Iterable[ApiRoute]) -> list[Json]:
    modules = {_tag(route): inspect.getmodule(route.view) for route in api_routes}
    return [{"name": name, "description": inspect.getdoc(module)} for name, module in modules.items()]


# --- operations -------------------------------------------------------------------------------------------------


def _operation(route: ApiRoute, components: "_Components") -> Json:
    summary, _, rest = (inspect.getdoc(route.view) or "").partition(". ")
    operation: Json = {
        "operationId": f"{_tag(route)}_{route.view.__name__}",
        "tags": [_tag(route)],
        "summary": summary.rstrip("."),
        "description": rest,
        "security": [] if route.scope is None else [{"token": [route.scope]}],
        "parameters": list(_parameters(route)),
    }
    if route.content_types:
        content = {content_type: _body(content_type, route) for content_type in route.content_types}
        operation["requestBody"] = {"required": True, "content": content}
    successes = {str(status): _response(spec) for status, spec in route.responses.items()}
    by_status = groupby(sorted(possible_errors(route), key=attrgetter("status")), key=attrgetter("status"))
    failures = {str(status): components.error_response(status, list(group)) for status, group in by_status}
    operation["responses"] = successes | failures
    return operation


def _body(content_type: str, route: ApiRoute) -> Json:
    """Return the description of a body of that type."""
    record = {} if route.body is None else {"$ref": SCHEMAS + route.body.__name__}
    if content_type != routes.FORM:
        return {"schema": record}
    parts = {request_body.RECORD: record, request_body.BYTES: {"type": "string", "contentMediaType": routes.BYTES_TYPE}}
    return {
        "schema": {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False},
        "encoding": {name: {"contentType": content} for name, content in request_body.PARTS.items()},
    }


def _without_body(operation: Json) -> Json:
    """Return the HEAD to a GET: the same statuses and headers, except for ranges, which only GET has."""
    responses = {
        status: {key: value for key, value in response.items() if key != "content"}
        for status, response in operation["responses"].items()
        if "$ref" not in response and status != "206"
    }
    failures = {status: {"description": "The same as for GET."} for status in ("4XX", "5XX")}
    range_headers = (RANGE.name, IF_RANGE.name)
    return {
        **operation,
        "operationId": f"{operation['operationId']}_head",
        "summary": "The response of GET, without the body",
        "parameters": [one for one in operation["parameters"] if one["name"] not in range_headers],
        "responses": responses | failures,
    }


def _parameters(route: ApiRoute) -> Iterator[Json]:
    for name in route.path_parameters:
        declared = PATH_PARAMETERS[name]
        schema = _schema(declared.value_type)
        yield {"name": name, "in": "path", "required": True, "description": declared.description, "schema": schema}
    yield from query_parameters(route)
    for header in (*route.headers, *([IDEMPOTENCY_KEY, AUTHOR] if route.changes_store else []), REQUEST_ID):
        yield {"name": header.name, "in": "header", **_header(header)}


def query_parameters(route: ApiRoute) -> Iterator[Json]:
    """Yield the descriptions of the route's query parameters."""
    query = _schema(route.query)
    for name, schema in query["properties"].items():
        if "anyOf" in schema:  # None, if the parameter is not given
            (schema,) = (one for one in schema["anyOf"] if one != {"type": "null"})
        if "enum" in schema:  # of words
            schema["type"] = "string"
        description = schema.pop("description")
        required = name in query["required"]
        yield {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _header(header: Header) -> Json:
    return {"description": header.description, "required": header.required, "schema": _schema(header.value_type)}


def _headers(headers: Iterable[Header]) -> Json:
    return {header.name: _header(header) for header in (*headers, RESPONSE_ID)}


def _response(spec: ResponseSpec) -> Json:
    response: Json = {"description": spec.description, "headers": _headers(spec.headers)}
    match spec.body:
        case None:
            return response
        case str(content_type):
            content: Json = {content_type: {"schema": {}}}
        case record:
            content = {routes.JSON: {"schema": {"$ref": SCHEMAS + record.__name__}}}
    if spec.accepted is not None:
        content_type, record = spec.accepted
        content[content_type] = {"schema": {"$ref": SCHEMAS + record.__name__}}
    return response | {"content": content}


class _Components:
    """The error responses that several operations share, each under the names of its errors."""

    def __init__(self) -> None:
        self.responses: dict[str, Json] = {}

    def error_response(self, status: int, possible: list[Error]) -> Json:
        """Return a reference to the response that has this status for one of these errors."""
        codes = [error.__name__ for error in possible]
        name = ".".join(codes)
        headers = [OF_ERRORS[status]] if status in OF_ERRORS else []
        code = {"properties": {"code": {"enum": codes}, "status": {"const": status}}}
        self.responses[name] = {
            "description": "\n".join([HTTPStatus(status).phrase, *map(_list_item, possible)]),
            "headers": _headers(headers),
            "content": {routes.PROBLEM: {"schema": {"allOf": [{"$ref": f"{SCHEMAS}Problem"}, code]}}},
        }
        return {"$ref": f"#/components/responses/{name}"}


def _list_item(error: Error) -> str:
    return f"- `{error.__name__}`: {error.message}"


# --- schemas ----------------------------------------------------------------------------------------------------


def _schema(type_: Any) -> Json:
    """Return the schema of one type, without references."""
    (schema,), components = msgspec.json.schema_components([type_], schema_hook=records.json_schema)
    inlined: Json = components.get(getattr(type_, "__name__", ""), schema)
    return inlined


def _schemas(api_routes: Iterable[ApiRoute]) -> Json:
    """Return the schemas of all records that the routes take and return, and of the records in them."""
    taken = [route.body for route in api_routes if route.body is not None]
    specs = [spec for route in api_routes for spec in route.responses.values()]
    returned = [spec.body for spec in specs if isinstance(spec.body, type)]
    accepted = [spec.accepted[1] for spec in specs if spec.accepted is not None]
    types = [*dict.fromkeys([*taken, *returned, *accepted, records.Problem])]
    _, schemas = msgspec.json.schema_components(types, schema_hook=records.json_schema, ref_template=SCHEMAS + "{name}")
    return {name: _record(name, schema) for name, schema in sorted(schemas.items())}


def _record(name: str, schema: Mapping[str, Any]) -> Json:
    text = inspect.cleandoc(schema["description"])
    record = {**_uniform(schema), "description": re.sub(r"\bNone\b", "null", text)}
    kind = getattr(records, name)
    if issubclass(kind, records.Record):  # the daemon omits no key, but those that only few records have
        optional = {each.encode_name for each in msgspec.structs.fields(kind) if each.default is msgspec.UNSET}
        record["required"] = [key for key in record["properties"] if key not in optional]
        for value in record["properties"].values():
            value.pop("default", None)
    return record


def _uniform(schema: Any) -> Any:
    """Return the schema with `items` in place of equal `prefixItems`, which few programs support."""
    match schema:
        case {"prefixItems": [first, *others], **rest} if all(other == first for other in others):
            return {**rest, "items": _uniform(first)}
        case dict():
            return {key: _uniform(value) for key, value in schema.items()}
        case list():
            return [_uniform(value) for value in schema]
    return schema
