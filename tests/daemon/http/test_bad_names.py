"""Invalid names and references, everywhere in the API."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from tests.support import raw_http
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.refusals import Watch

BAD = {
    "parent": "..",
    "here": ".",
    "climbing": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "slash": "a/b",
    "backslash": "a\\b",
    "drive": "c:x",
    "nul": "a\0b",
    "line feed at the end": "a\n",
    "escape sequence": "\x1b[31ma",
    "delete": "a\x7f",
    "encoded dots": "%2e%2e",
    "umlaut": "ä",
    "wide digit": "１",
    "cyrillic": "рса",
    "right-to-left": "a\u202eb",
    "emoji": "🦆",
    "device": "con",
    "device, upper case": "COM1",
    "device with an ending": "nul.tar.gz",
    "129 characters": "a" * 129,
    "two dots": "a..b",
    "dash first": "-a",
    "dot last": "a.",
    "blank": "a b",
    "upper case": "RandomForest",
}

PATHS: list[tuple[str, str]] = [
    ("GET", "/v1/ops/{}"),
    ("GET", "/v1/ops/{}/versions"),
    ("GET", "/v1/ops/{}/versions/1.0.0"),
    ("GET", "/v1/ops/{}/versions/latest/bytes"),
    ("HEAD", "/v1/ops/{}/versions/latest/bytes"),
    ("GET", "/v1/pipelines/{}"),
    ("GET", "/v1/pipelines/{}/verdict"),
    ("DELETE", "/v1/pipelines/{}"),
    ("GET", "/v1/pipelines/{}/resolution"),
    ("DELETE", "/v1/ops/{}/tags/stable"),
]


@pytest.mark.parametrize(("method", "path"), few(3, PATHS))
def test_an_invalid_name_in_a_path_is_refused_however_it_is_encoded(
    listener: Listener, watch: Watch, method: str, path: str
) -> None:
    for name in BAD.values():
        response = raw_http.ask(listener.port, method, path.format(quote(name, safe="")))
        if method == "HEAD":
            assert response.status == (404 if "/" in name else 400)
        elif "/" in name:  # a decoded slash ends a part of the path, and there is no such path
            assert watch.assert_problem(response, 404, "RouteNotFound")["path"]
        else:
            assert watch.assert_problem(response, 400, "InvalidName")["name"] == name


@pytest.mark.parametrize(("method", "path"), PATHS[:2])
def test_a_name_that_is_encoded_twice_is_not_decoded_twice(
    listener: Listener, watch: Watch, method: str, path: str
) -> None:
    for name in BAD.values():
        once = "".join(f"%{byte:02x}" for byte in name.encode())
        response = raw_http.ask(listener.port, method, path.format(quote(once, safe="")))
        assert watch.assert_problem(response, 400, "InvalidName")["name"] == once[:200]


SEGMENTS: list[tuple[str | bytes, int, str]] = [
    ("..", 400, "InvalidName"),
    (".", 400, "InvalidName"),
    ("%2E%2e", 400, "InvalidName"),
    (".%2e", 400, "InvalidName"),
    ("..%2f..", 404, "RouteNotFound"),
    ("..%5c..", 400, "InvalidName"),
    ("a%00", 400, "InvalidName"),
    ("a;b", 400, "InvalidName"),
    ("%ff%fe", 400, "InvalidName"),
    ("%c0%ae%c0%ae", 400, "InvalidName"),
    ("%", 400, "InvalidName"),
    ("%zz", 400, "InvalidName"),
    ("", 404, "RouteNotFound"),
    (b"\xc3\xa4", 400, "InvalidRequest"),
    (b"\xff", 400, "InvalidRequest"),
    (b"a\x00b", 400, "InvalidRequest"),
    ("a" * 8000, 400, "InvalidName"),
]


def test_a_refused_path_is_reported_as_it_was_received(listener: Listener, watch: Watch) -> None:
    for segment, status, code in SEGMENTS:
        encoded = segment if isinstance(segment, bytes) else segment.encode()
        response = raw_http.ask(listener.port, "GET", b"/v1/ops/" + encoded + b"/versions")
        watch.assert_problem(response, status, code)


def test_a_selector_in_place_of_a_name_is_refused(http: Http, listener: Listener, watch: Watch) -> None:
    http.push("up", b"bytes")
    watch.mark()
    for path in ("/v1/ops/{}", "/v1/ops/{}/versions", "/v1/ops/{}/versions/latest", "/v1/ops/{}/versions/latest/bytes"):
        for segment in ("up%40", "up%40latest", "up%401.0.0", "up@"):
            watch.assert_problem(raw_http.ask(listener.port, "GET", path.format(segment)), 400, "InvalidName")


def test_a_query_that_is_not_utf_8_is_refused(listener: Listener, watch: Watch) -> None:
    for target in ("/v1/ops?%ff", "/v1/ops?limit=%ff", "/v1/ops?%00=1", "/v1/links?op=%ff%00"):
        response = raw_http.ask(listener.port, "GET", target)
        watch.assert_problem(response, 400, "InvalidName" if "op=" in target else "InvalidRequest")


@pytest.mark.parametrize("target", [b"//v1/ops?\xff", b"//v1/ops?limit=\xff", b"//v1/\xff", b"//\xff"])
def test_non_ascii_bytes_are_refused_after_two_slashes_too(listener: Listener, watch: Watch, target: bytes) -> None:
    response = raw_http.ask(listener.port, "GET", target)
    watch.assert_problem(response, 400, "InvalidRequest")


Bodies = dict[str, tuple[str, str, Callable[[str], dict[str, Any]]]]

BODIES: Bodies = {
    "link upstream": ("POST", "/v1/links", lambda name: {"upstream": name, "downstream": "down"}),
    "link downstream": ("POST", "/v1/links", lambda name: {"upstream": "up", "downstream": name}),
    "link downstream version": ("POST", "/v1/links", lambda name: {"upstream": "up", "downstream": f"{name}@1"}),
    "unlink": ("POST", "/v1/links", lambda name: {"upstream": "up", "downstream": name, "state": "revoked"}),
    "valid_for": (
        "POST",
        "/v1/ops/up/versions",
        lambda name: {"fields": {"major": {"a": "2"}}, "valid_for": [name]},
    ),
    "valid_with": (
        "POST",
        "/v1/ops/down/versions",
        lambda name: {"fields": {"major": {"a": "2"}}, "valid_with": ["up", name]},
    ),
    "pipeline": ("POST", "/v1/pipelines", lambda name: {"name": name, "ops": ["a", "b"]}),
    "pipeline op": ("POST", "/v1/pipelines", lambda name: {"name": "p", "ops": ["a", name]}),
    "pipeline edge": ("POST", "/v1/pipelines", lambda name: {"name": "p", "edges": [["a", name]]}),
    "pipeline edge upstream": ("POST", "/v1/pipelines", lambda name: {"name": "p", "edges": [[name, "a"]]}),
}


@pytest.mark.parametrize("member", few(3, BODIES))
def test_an_invalid_name_in_a_body_is_refused(http: Http, watch: Watch, member: str) -> None:
    http.register("up", a="1")
    watch.mark()
    method, path, body = BODIES[member]
    for name in BAD.values():
        details = watch.assert_problem(http.ask(method, path, body(name)), 400, "InvalidName")
        assert details["name"] == name


QUERIES: dict[str, tuple[str, Callable[[str], list[tuple[str, str]]]]] = {
    "op of links": ("/v1/links", lambda name: [("op", name)]),
    "upstream": ("/v1/verdict", lambda name: [("upstream", name), ("downstream", "up")]),
    "downstream": ("/v1/verdict", lambda name: [("upstream", "up"), ("downstream", f"{name}@1.0.0")]),
    "valid_for": ("/v1/ops/up/versions", lambda name: [("valid_for", "down"), ("valid_for", name)]),
    "use": ("/v1/pipelines/p/verdict", lambda name: [("use", "up"), ("use", name)]),
}


@pytest.mark.parametrize("member", few(2, QUERIES))
def test_an_invalid_name_in_a_query_is_refused(http: Http, watch: Watch, member: str) -> None:
    http.register("up", a="1")
    assert http.post(routes.PIPELINES, {"name": "p", "ops": ["up", "down"]}).status_code == 201
    watch.mark()
    path, params = QUERIES[member]
    for name in BAD.values():
        watch.assert_problem(http.get(path, params=params(name)), 400, "InvalidName")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/ops/{}", b'{"compat":"exact"}'),
        ("POST", "/v1/ops/{}/versions", b'{"fields":{"major":{"a":"1"}}}'),
    ],
)
def test_an_invalid_name_in_the_path_of_a_change_is_refused(
    listener: Listener, watch: Watch, method: str, path: str, body: bytes
) -> None:
    for name in BAD.values():
        target = path.format(quote(name, safe=""))
        response = raw_http.ask(listener.port, method, target, f"Content-Type: {routes.JSON}", body=body)
        code = "RouteNotFound" if "/" in name else "InvalidName"
        watch.assert_problem(response, 404 if "/" in name else 400, code)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    few(
        1,
        [
            ("RandomForest", "random_forest"),
            ("PCA", "pca"),
            ("Random Forest", "random_forest"),
            ("XMLReader", "xml_reader"),
        ],
    ),
)
def test_an_upper_case_name_is_refused_with_the_name_to_use(
    http: Http, watch: Watch, name: str, suggestion: str
) -> None:
    response = http.post(routes.PIPELINES, {"name": name, "ops": ["a"]})
    watch.assert_problem(response, 400, "InvalidName")
    assert response.json()["hint"] == f"use {suggestion}"


def test_the_longest_legal_name_is_accepted(http: Http) -> None:
    assert http.register("a" * 128, a="1")["op"] == "a" * 128
