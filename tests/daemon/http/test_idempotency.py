"""Requests with an idempotency key are idempotent."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.store.ingest.uploads import Uploads
from tests.daemon.http.test_upload_lifetime import Clock, daemon
from tests.support import raw_http
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.places import Place
from tests.support.refusals import Watch
from tests.support.servers import WRITE_TOKEN


def key(name: str) -> dict[str, str]:
    return {routes.IDEMPOTENCY_KEY: name}


def same(one: requests.Response, other: requests.Response) -> bool:
    """Return whether the responses are equal."""
    return (one.status_code, one.content) == (other.status_code, other.content)


CHANGES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "push": ("POST", "/v1/ops/up/versions", {"upload": "{upload}", "new": True, "valid_for": ["down@any"]}),
    "register": ("POST", "/v1/ops/up/versions", {"fields": {"major": {"a": "2"}}, "labels": {"k": "v"}}),
    "link": ("POST", "/v1/links", {"upstream": "up", "downstream": "down@any"}),
    "link that is known not to be": (
        "POST",
        "/v1/links",
        {"upstream": "up", "downstream": "down@any", "state": "invalid"},
    ),
    "unlink": ("POST", "/v1/links", {"upstream": "up", "downstream": "linked@any", "state": "revoked"}),
    "level": ("PATCH", "/v1/ops/up", {"compat": "major"}),
    "tag": ("POST", "/v1/tags", {"tag": "new", "versions": ["up"]}),
    "removal of a tag": ("DELETE", "/v1/ops/up/tags/stable", None),
    "yank": ("PUT", "/v1/ops/up/versions/1.0.0/yank", {"reason": "broken"}),
    "end of a yank": ("PUT", "/v1/ops/up/versions/2.0.0/yank", {"reason": None}),
    "pipeline": ("POST", "/v1/pipelines", {"name": "q", "ops": ["up", "down"]}),
    "removal of a pipeline": ("DELETE", "/v1/pipelines/p", None),
    "upload": ("POST", "/v1/uploads", {"size": 5}),
    "removal of an upload": ("DELETE", "/v1/uploads/{upload}", None),
}


def prepared(http: Http, what: str) -> tuple[str, str, dict[str, Any] | None]:
    """Return the change, after creating what it needs."""
    http.register("up", a="1")
    http.post("/v1/pipelines", {"name": "p", "ops": ["up", "down", "linked"]})
    http.post("/v1/links", {"upstream": "up", "downstream": "linked@any"})
    http.post("/v1/tags", {"tag": "stable", "versions": ["up"]})
    http.register("up", a="yanked")
    http.ask("PUT", "/v1/ops/up/versions/2.0.0/yank", {"reason": "broken"})
    method, path, body = CHANGES[what]
    if body is not None and "upload" in body:
        body = {**body, "upload": http.upload(b"bytes")}
    return method, path.replace("{upload}", http.upload(b"bytes")) if "{upload}" in path else path, body


@pytest.mark.parametrize("what", few(5, CHANGES))
def test_a_repeated_request_changes_nothing_and_has_the_same_response(http: Http, watch: Watch, what: str) -> None:
    method, path, body = prepared(http, what)
    first = http.ask(method, path, body, headers=key("k"))
    assert first.status_code in (200, 201, 204), first.text
    watch.mark()
    for _ in range(3):
        assert same(http.ask(method, path, body, headers=key("k")), first)
    watch.assert_unchanged()


def test_a_repeated_request_with_another_author_keeps_the_first(http: Http) -> None:
    body = {"fields": {"major": {"a": "1"}}}
    for value, author in (('%"Zo%c3%ab"', "Zoë"), ("ana", "Zoë")):
        pushed = http.post("/v1/ops/up/versions", body, headers={**key("k"), routes.AUTHOR: value})
        assert pushed.json()["author"] == author
    assert [entry["author"] for entry in http.get("/v1/journal").json()["entries"]] == ["Zoë"]


def test_a_header_that_names_no_author_is_refused_where_something_would_change(http: Http, watch: Watch) -> None:
    http.register("up", a="1")
    watch.mark()
    for value in ("", "a\tb", "x" * 201, '%"a', '%"%e2%80%ae"', "\xe4"):
        response = http.ask("PATCH", "/v1/ops/up", {"compat": "minor"}, headers={routes.AUTHOR: value})
        assert watch.assert_problem(response, 400, "InvalidRequest")["reason"].startswith(
            "Opstore-Author does not name"
        )
        assert http.ask("GET", "/v1/ops/up", headers={routes.AUTHOR: value}).status_code == 200


@pytest.mark.parametrize("what", few(1, ["push", "unlink", "removal of a pipeline", "upload", "removal of an upload"]))
def test_a_key_is_remembered_for_a_day_and_across_restarts(place: Place, tmp_path: Path, what: str) -> None:
    clock = Clock()
    with daemon(place, tmp_path, clock) as (http, *_):
        method, path, body = prepared(http, what)
        first = http.ask(method, path, body, headers=key("k"))
        assert first.status_code in (200, 201, 204)
    clock.forward(hours=23)
    with daemon(place, tmp_path, clock) as (http, *_):
        assert http.patch("/v1/ops/up", {"compat": "exact"}, headers=key("other")).status_code == 200
        assert same(http.ask(method, path, body, headers=key("k")), first)


def test_a_key_expires_after_a_day(place: Place, tmp_path: Path) -> None:
    clock = Clock()
    with daemon(place, tmp_path, clock) as (http, *_):
        one = http.post("/v1/pipelines", {"name": "p", "ops": ["a"]}, headers=key("k"))
        clock.forward(hours=25)
        other = http.post("/v1/pipelines", {"name": "q", "ops": ["a"]}, headers=key("l"))
        assert (one.status_code, other.status_code) == (201, 201)
        assert http.post("/v1/pipelines", {"name": "r", "ops": ["a"]}, headers=key("k")).status_code == 201


def test_a_repeated_creation_of_an_upload_returns_the_same_one_even_if_finished(http: Http, watch: Watch) -> None:
    made = http.post(routes.UPLOADS, {"size": 5}, headers=key("k"))
    upload = made.json()["upload"]
    assert http.append(upload, b"by").status_code == 200
    assert same(http.post(routes.UPLOADS, {"size": 5}, headers=key("k")), made)
    assert http.append(upload, b"tes", 2).json()["offset"] == 5
    assert http.post("/v1/ops/up/versions", {"upload": upload}).status_code == 201
    watch.mark()
    assert same(http.post(routes.UPLOADS, {"size": 5}, headers=key("k")), made)
    watch.assert_unchanged()
    watch.assert_problem(http.append(upload, b"bytes"), 404, "UploadNotFound")


def test_a_key_with_another_request_is_refused(http: Http, watch: Watch) -> None:
    body = {"fields": {"major": {"a": "1"}}}
    assert http.post("/v1/ops/up/versions", body, headers=key("k")).status_code == 201
    http.post("/v1/pipelines", {"name": "p", "ops": ["up"]})
    upload = http.upload(b"bytes")
    watch.mark()
    others: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/v1/ops/up/versions", {"fields": {"major": {"a": "2"}}}),
        ("POST", "/v1/ops/up/versions", {"fields": {"major": {"a": "1"}}, "labels": {}}),
        ("POST", "/v1/ops/up/versions", {"upload": upload}),
        ("POST", "/v1/ops/other/versions", body),
        ("POST", "/v1/links", {"upstream": "up", "downstream": "down"}),
        ("PATCH", "/v1/ops/up", {"compat": "exact"}),
        ("POST", "/v1/pipelines", {"name": "q", "ops": ["up"]}),
        ("DELETE", "/v1/pipelines/p", None),
        ("POST", "/v1/uploads", {"size": 1}),
        ("DELETE", f"/v1/uploads/{upload}", None),
    ]
    for method, path, other in others:
        response = http.ask(method, path, other, headers=key("k"))
        assert watch.assert_problem(response, 409, "KeyReused") == {"key": "k"}


def test_keys_of_different_tokens_are_independent(http: Http) -> None:
    other = http.with_token(WRITE_TOKEN)
    one = http.post("/v1/ops/up/versions", {"fields": {"major": {"a": "1"}}}, headers=key("k"))
    two = other.post("/v1/ops/up/versions", {"fields": {"major": {"a": "2"}}}, headers=key("k"))
    assert (one.json()["version"], two.json()["version"]) == ("1.0.0", "2.0.0")
    assert same(other.post("/v1/ops/up/versions", {"fields": {"major": {"a": "2"}}}, headers=key("k")), two)


def test_a_refused_request_does_not_use_its_key(http: Http, watch: Watch) -> None:
    for body, status, code in (
        ({"upstream": "up", "downstream": "down"}, 404, "OpNotFound"),
        ({"upstream": "..", "downstream": "down"}, 400, "InvalidName"),
        ({"upstream": 1}, 400, "InvalidRequest"),
    ):
        watch.assert_problem(http.post("/v1/links", body, headers=key("k")), status, code)
    http.register("up", a="1")
    http.register("down", a="1")
    response = http.post("/v1/links", {"upstream": "up", "downstream": "down"}, headers=key("k"))
    assert response.status_code == 201


def test_an_invalid_key_is_refused(http: Http, listener: Listener, watch: Watch) -> None:
    http.post("/v1/pipelines", {"name": "p", "ops": ["up"]})
    watch.mark()
    for name in ("", "a" * 129, "ä", "a\tb", "\x7f"):
        line = f"{routes.IDEMPOTENCY_KEY}: {name}".encode()
        for method, target in (("DELETE", "/v1/pipelines/p"), ("PATCH", "/v1/ops/up")):
            body = b'{"compat":"exact"}' if method == "PATCH" else b""
            lines = [line, f"Content-Type: {routes.JSON}".encode()] if body else [line]
            watch.assert_problem(raw_http.ask(listener.port, method, target, *lines, body=body), 400, "InvalidRequest")
    for name in ("a", "a" * 128, "~!@#$ %^&*()", "{0}"):
        body = b'{"compat":"exact"}'
        given = (f"{routes.IDEMPOTENCY_KEY}: {name}", f"Content-Type: {routes.JSON}")
        assert raw_http.ask(listener.port, "PATCH", "/v1/ops/up", *given, body=body).status == 200


def at_once(url: str, change: tuple[str, str, dict[str, Any] | None], name: str) -> list[requests.Response]:
    """Send the same request from six clients at the same time; return the responses."""
    gate = threading.Barrier(6)

    def repeat(_number: int) -> requests.Response:
        with Http(url) as client:
            gate.wait()
            return client.ask(*change, headers=key(name))

    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(repeat, range(6)))


@pytest.mark.parametrize(
    "what", few(2, ["push", "register", "link", "removal of a pipeline", "upload", "removal of an upload"])
)
def test_simultaneous_repetitions_have_one_effect_and_the_same_response(
    http: Http, listener: Listener, what: str
) -> None:
    for number in range(5 if what == "push" else 1):
        change = prepared(http, what)
        before = http.get("/v1/ops/up/versions").json()["versions"]
        responses = at_once(listener.url, change, f"k{number}")
        assert responses[0].status_code in (200, 201, 204)
        for response in responses[1:]:
            assert same(response, responses[0]), response.text
        after = http.get("/v1/ops/up/versions").json()["versions"]
        assert len(after) - len(before) == (1 if what in ("push", "register") else 0)


def test_a_repetition_that_loses_the_race_returns_the_response_of_the_winner(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = prepared(http, "push")
    responses: list[requests.Response] = []
    verify = Uploads.verify

    def overtaken(uploads: Uploads, *given: Any) -> Any:
        monkeypatch.undo()
        with Http(http.url) as other:
            responses.append(other.ask(*change, headers=key("k")))
        return verify(uploads, *given)

    monkeypatch.setattr(Uploads, "verify", overtaken)
    responses.append(http.ask(*change, headers=key("k")))
    assert responses[0].status_code == 201
    assert same(responses[1], responses[0]), responses[1].text


def test_simultaneous_versions_of_one_upload_without_a_key_are_one_version(http: Http, listener: Listener) -> None:
    for _ in range(5):
        upload = http.upload(b"bytes")
        gate = threading.Barrier(4)

        def push(_number: int, upload: str = upload, gate: threading.Barrier = gate) -> requests.Response:
            with Http(listener.url) as client:
                gate.wait()
                return client.post("/v1/ops/up/versions", {"upload": upload, "new": True})

        before = http.get("/v1/ops").json()["ops"]
        with ThreadPoolExecutor(4) as pool:
            responses = list(pool.map(push, range(4)))
        assert sorted(response.status_code for response in responses) == [201, 404, 404, 404]
        assert http.get("/v1/ops").json()["ops"][0]["versions"] == (before[0]["versions"] if before else 0) + 1
