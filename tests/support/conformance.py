"""Check requests and responses against the OpenAPI document: tests do so for all that they send over HTTP."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import jsonschema_rs
import requests

from opstore_daemon.protocol import errors, routes
from opstore_daemon.web.app import document
from opstore_daemon.web.framework import possible_errors
from opstore_daemon.web.framework.request_body import read_form
from opstore_daemon.web.framework.routing import Error

Json = dict[str, Any]
PROBLEM: Json = {"schema": {"$ref": "#/components/schemas/Problem"}}


class Conformance:
    """The OpenAPI document; its validators are made when they are first needed."""

    def __init__(self, body: bytes) -> None:
        self.document: Json = json.loads(body)
        self._paths = [(_pattern(template), item) for template, item in self.document["paths"].items()]
        self._validators: dict[str, Any] = {}

    def check(self, response: requests.Response, *, streamed: bool = False) -> None:
        """Check the response and, if it is a success, the request."""
        request = response.request
        method, target = str(request.method), str(request.path_url)
        self.check_answer(
            method, target, response.status_code, response.headers, None if streamed else response.content
        )
        if response.ok:
            given = request.body if isinstance(request.body, bytes) else None
            self.check_request(method, target, {k: str(v) for k, v in request.headers.items()}, given)

    def check_answer(
        self, method: str, target: str, status: int, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        """Check status, headers, content type and body of a response against its operation."""
        exchange = f"{method} {target} {status}: {(body or b'')[:500]!r}"
        answer = self._answer(method, target, status)
        assert answer is not None, f"not in the document: {exchange}"
        for name, header in answer["headers"].items() if "headers" in answer else ():
            assert name in headers or not header["required"], f"{name} is missing: {exchange}"
            if name in headers:
                self._validate(header["schema"], _of_text(headers[name], header["schema"]), exchange)
        content = answer.get("content", {})
        if method == "HEAD" or not content:
            assert not body, exchange
            assert method == "HEAD" or "Content-Type" not in headers, exchange
            return
        kind = headers["Content-Type"].partition(";")[0]
        assert kind in content, exchange
        if kind in (routes.JSON, routes.PROBLEM) and body is not None:
            self._validate(content[kind]["schema"], json.loads(body), exchange)

    def check_request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> None:
        """Check that an accepted request has only parameters and keys of the document."""
        found = self._operation(target, method)
        assert found is not None, f"{method} {target}"
        query = parse_qs(target.partition("?")[2], keep_blank_values=True)
        parameters = {parameter["name"]: parameter for parameter in found["parameters"] if parameter["in"] == "query"}
        assert set(query) <= set(parameters), target
        for name, parameter in parameters.items():
            if name in query or parameter["required"]:
                schema = parameter["schema"]
                several = schema["type"] == "array"
                value = query[name] if several else _of_text(query[name][0], schema)
                self._validate(schema, value, target)
        for parameter in found["parameters"]:
            if parameter["in"] == "header" and parameter["required"]:
                assert parameter["name"] in headers, target
        if "requestBody" in found:
            content = found["requestBody"]["content"]
            schema = content[headers["Content-Type"].partition(";")[0].strip().lower()]["schema"]
            if body is not None and schema:
                self._validate(schema, _content(headers["Content-Type"], body), target)
        else:
            assert not body, target

    def _item(self, target: str) -> Json | None:
        path = unquote(target.partition("?")[0])
        return next((item for pattern, item in self._paths if pattern.fullmatch(path)), None)

    def _operation(self, target: str, method: str) -> Json | None:
        found: Json | None = (self._item(target) or {}).get(method.lower())
        return found

    def _answer(self, method: str, target: str, status: int) -> Json | None:
        operation = self._operation(target, method)
        if operation is None:
            return _elsewhere(status, known=self._item(target) is not None)
        responses = operation["responses"]
        found: Json | None = responses.get(str(status), responses.get(f"{status // 100}XX"))
        if found is not None and "$ref" in found:
            found = self.document["components"]["responses"][found["$ref"].rpartition("/")[2]]
        return found

    def _validate(self, schema: Json, value: Any, exchange: str) -> None:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        wrong = [f"{error.instance_path}: {error.message}" for error in self._validators[key].iter_errors(value)]
        assert not wrong, f"{wrong[:3]} {exchange}"


def _elsewhere(status: int, *, known: bool) -> Json | None:
    """Return the response for a path or method that the document does not have."""
    missing: Error = errors.MethodNotAllowed if known else errors.RouteNotFound
    everywhere: list[Error] = [*possible_errors.COMMON_ERRORS, errors.TokenRequired, missing]
    possible = [error for error in everywhere if error.status == status]
    code = {"properties": {"code": {"enum": [error.__name__ for error in possible]}, "status": {"const": status}}}
    return {"content": {routes.PROBLEM: {"schema": {"allOf": [PROBLEM["schema"], code]}}}} if possible else None


def _content(content_type: str, body: bytes) -> Any:
    """Return the body as the value that its schema describes."""
    if not content_type.startswith(routes.FORM):
        return json.loads(body)
    record, data = read_form(content_type, body)
    return {"version": json.loads(record), "bytes": data.decode("latin-1")}


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[a-z]+\\}", "[^/]+", re.escape(template)))


def _of_text(text: str, schema: Json) -> Any:
    return int(text) if schema.get("type") == "integer" else text


@functools.cache
def conformance() -> Conformance:
    """Return the document of this release."""
    return Conformance(document()[0])
