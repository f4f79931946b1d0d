"""Bodies that are not JSON, not the expected JSON, or not encoded as expected."""

import gzip
import json
from typing import Any

import pytest

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import limits, routes
from tests.support import raw_http
from tests.support.http_client import Http
from tests.support.refusals import Watch

JSON = {"Content-Type": routes.JSON}
NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "cut short": b'{"name":"p","ops":["a"',
    "two documents": b'{"name":"p","ops":["a"]}{"name":"q","ops":["a"]}',
    "something behind it": b'{"name":"p","ops":["a"]} x',
    "array": b'[{"name":"p","ops":["a"]}]',
    "text": b'"p"',
    "null": b"null",
    "number": b"17",
    "true": b"true",
    "NaN": b'{"name":"p","ops":["a"],"edges":NaN}',
    "Infinity": b'{"name":"p","ops":["a"],"edges":-Infinity}',
    "unknown key": b'{"name":"p","ops":["a"],"shoe_size":1}',
    "key twice": b'{"name":"p","name":"p","ops":["a"]}',
    "key twice, once escaped": b'{"name":"p","\\u006eame":"q","ops":["a"]}',
    "missing key": b'{"ops":["a"]}',
    "name of a wrong type": b'{"name":1,"ops":["a"]}',
    "null for a name": b'{"name":null,"ops":["a"]}',
    "ops of a wrong type": b'{"name":"p","ops":"a"}',
    "ops in an object": b'{"name":"p","ops":{"a":"b"}}',
    "edge of three": b'{"name":"p","edges":[["a","b","c"]]}',
    "edge of one": b'{"name":"p","edges":[["a"]]}',
    "too many ops": b'{"name":"p","ops":' + json.dumps(["a"] * 1001).encode() + b"}",
    "not UTF-8": b'{"name":"\xff\xfe","ops":["a"]}',
    "Latin-1": '{"name":"ä","ops":["a"]}'.encode("latin-1"),
    "UTF-16": '{"name":"p","ops":["a"]}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"name":"p","ops":["a"]}',
    "lone surrogate": b'{"name":"\\ud800","ops":["a"]}',
    "lone surrogate as a key": b'{"\\udfff":1,"name":"p","ops":["a"]}',
    "control character": b'{"name":"p\n","ops":["a"]}',
    "single quotes": b"{'name':'p','ops':['a']}",
    "comment": b'{"name":"p",/* */"ops":["a"]}',
    "comma at the end": b'{"name":"p","ops":["a",]}',
    "deep arrays": b"[" * 100_000,
    "deep and whole": b'{"name":"p","ops":' + b"[" * 400 + b"]" * 400 + b"}",
    "deep objects": b'{"a":' * 100_000,
    "deep in an unknown key": b'{"x":' + b'{"x":' * 300_00 + b"1" + b"}" * 300_01,
    "huge number": b'{"name":"p","ops":[' + b"9" * 100_000 + b"]}",
    "NUL bytes": b"\0" * 1000,
}


def test_a_body_other_than_the_expected_record_is_refused(http: Http, watch: Watch) -> None:
    for what, body in NO_JSON.items():
        # requests omits a Content-Length of 0 otherwise.
        length = {} if body else {"Content-Length": "0"}
        response = http.ask("POST", routes.PIPELINES, data=body, headers={**JSON, **length})
        assert watch.assert_problem(response, 400, "InvalidRequest")["reason"], what


OTHERS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/uploads", {"size": -1}),
    ("POST", "/v1/uploads", {"size": 2**63}),
    ("POST", "/v1/uploads", {"size": 1.5}),
    ("POST", "/v1/uploads", {"size": "1"}),
    ("POST", "/v1/uploads", {"size": True}),
    ("POST", "/v1/uploads", {"length": 1}),
    ("PATCH", "/v1/ops/up", {"compat": "Major"}),
    ("PATCH", "/v1/ops/up", {"compat": None}),
    ("PATCH", "/v1/ops/up", {}),
    ("POST", "/v1/links", {"upstream": "up", "downstream": "down", "state": "maybe"}),
    ("POST", "/v1/links", {"upstream": "up", "downstream": "down", "evidence": "x" * 4097}),
    ("POST", "/v1/links", {"upstream": "up", "downstream": "down", "evidence": "a\0b"}),
    ("POST", "/v1/links", {"upstream": "up"}),
    ("POST", "/v1/links", {"upstream": "up", "downstream": "up"}),
    ("POST", "/v1/links", {"upstream": "up", "downstream": "up@1.0.0"}),
    ("POST", "/v1/ops/up/versions", {}),
    ("POST", "/v1/ops/up/versions", {"bump": "patch"}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "subversions": "abcd.abcd.abcd"}),
    ("POST", "/v1/ops/up/versions", {"fields": {"huge": {}}}),
    ("POST", "/v1/ops/up/versions", {"fields": {"major": {"a": 1}}}),
    ("POST", "/v1/ops/up/versions", {"fields": {"major": {"": "1"}}}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "labels": {"a=b": "c"}}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "labels": {"a\n": "c"}}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "labels": {"a": "c\0"}}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "labels": {str(n): "" for n in range(65)}}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "message": "x" * 65537}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "valid_for": ["up"]}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "valid_for": "down"}),
    ("POST", "/v1/ops/up/versions", {"fields": {}, "new": 1}),
    ("POST", "/v1/ops/up/versions", {"upload": "a" * 32, "size": -1}),
]


def test_every_body_is_parsed_strictly(http: Http, watch: Watch) -> None:
    http.register("up", a="1")
    watch.mark()
    for method, path, body in OTHERS:
        watch.assert_problem(http.ask(method, path, body), 400, "InvalidRequest")


GRAPHS: list[dict[str, Any]] = [
    {"name": "p"},
    {"name": "p", "edges": []},
    {"name": "p", "ops": ["a", "a"]},
    {"name": "p", "edges": [["a", "a"]]},
    {"name": "p", "edges": [["a", "b"], ["b", "c"], ["c", "a"]]},
]


def test_an_invalid_graph_is_refused(http: Http, watch: Watch) -> None:
    for body in GRAPHS:
        watch.assert_problem(http.post(routes.PIPELINES, body), 400, "InvalidGraph")


def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_read(http: Http, watch: Watch) -> None:
    body = b'{"name":"p","ops":["a"]}'
    full = body + b" " * (limits.MAX_JSON - len(body))
    details = watch.assert_problem(http.ask("POST", routes.PIPELINES, data=full + b" ", headers=JSON), 413, "TooLarge")
    assert (details["size"], details["limit"]) == (limits.MAX_JSON + 1, limits.MAX_JSON)
    assert http.ask("POST", routes.PIPELINES, data=full, headers=JSON).status_code == 201


WRONG_TYPES = [
    None,
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/vnd.api+json",
    "text/json",
    "application/json, text/plain",
    routes.APPEND_TYPE,
    routes.BYTES_TYPE,
]


def test_a_content_type_that_is_wrong_or_missing_is_refused(http: Http, watch: Watch) -> None:
    for given in WRONG_TYPES:
        headers = {} if given is None else {"Content-Type": given}
        response = http.ask("POST", routes.PIPELINES, data=b'{"name":"p","ops":["a"]}', headers=headers)
        watch.assert_problem(response, 415, "UnsupportedContent")


def test_a_content_type_may_have_a_charset_and_upper_case(http: Http) -> None:
    headers = {"Content-Type": "Application/JSON ; charset=utf-8"}
    response = http.ask("POST", routes.PIPELINES, data=b'{"name":"p","ops":["a"]}', headers=headers)
    assert response.status_code == 201


def test_an_encoded_body_is_refused(http: Http, watch: Watch) -> None:
    body = gzip.compress(b'{"name":"p","ops":["a"]}')
    for encoding in ("gzip", "identity", "br", ""):
        response = http.ask("POST", routes.PIPELINES, data=body, headers={**JSON, "Content-Encoding": encoding})
        watch.assert_problem(response, 415, "UnsupportedContent")


def test_json_of_unknown_length_is_refused(http: Http, watch: Watch) -> None:
    response = http.ask("POST", routes.PIPELINES, data=iter([b'{"name":"p",', b'"ops":["a"]}']), headers=JSON)
    watch.assert_problem(response, 411, "LengthRequired")


def test_json_without_a_length_is_refused(listener: Listener, watch: Watch) -> None:
    with raw_http.Raw(listener.port) as connection:
        connection.send(raw_http.head("POST", routes.PIPELINES, f"Content-Type: {routes.JSON}", host=connection.host))
        watch.assert_problem(connection.answer(), 411, "LengthRequired")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/ops"), ("DELETE", "/v1/pipelines/p"), ("GET", "/v1/status")])
def test_a_body_is_refused_if_the_route_takes_none(http: Http, watch: Watch, method: str, path: str) -> None:
    http.post(routes.PIPELINES, {"name": "p", "ops": ["a"]})
    watch.mark()
    watch.assert_problem(http.ask(method, path, data=b"{}"), 400, "InvalidRequest")


@pytest.mark.parametrize("path", [routes.HEALTH, routes.READY])
def test_a_body_to_a_public_path_is_refused_before_it_is_read(listener: Listener, watch: Watch, path: str) -> None:
    for length in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        with raw_http.Raw(listener.port) as connection:
            connection.send(raw_http.head("POST", path, length, host=connection.host, token=None))
            watch.assert_problem(connection.answer(), 400, "InvalidRequest")


def test_text_of_users_is_returned_unchanged(http: Http) -> None:
    odd = "\u202e\x1b[31m<b>{0}%s'\"\\\U0001f986\n\t\x7f"
    body = {"fields": {"major": {odd: odd}}, "labels": {"a b": odd}, "message": odd}
    response = http.post("/v1/ops/up/versions", body)
    assert response.status_code == 201
    assert (response.json()["message"], response.json()["labels"]) == (odd, {"a b": odd})
