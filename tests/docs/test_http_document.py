"""The table of routes is right about scopes, bodies, statuses and records, as a real server shows."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import records, routes
from opstore_daemon.savers import MemorySaver
from opstore_daemon.web.api import every_route
from opstore_daemon.web.framework.routing import Route
from opstore_daemon.web.guards import SCOPES
from tests.support.for_each import for_each
from tests.support.new_run import new_run

TOKENS = {f"{scope}-token": scope for scope in SCOPES}
ADMIN = "admin-token"
APPEND = {"Content-Type": routes.APPEND_TYPE, routes.UPLOAD_OFFSET: "0"}


@pytest.fixture
def server() -> Iterator[OpStoreServer]:
    made = OpStoreServer(MemorySaver(), tokens=TOKENS)
    yield made
    made.close()


def ask(server: OpStoreServer, method: str, path: str, token: str | None = ADMIN, **options: Any) -> Any:
    headers = {**options.pop("headers", {}), "Host": "localhost"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    response = server.flask.test_client().open(path, method=method, headers=headers, **options)
    _ = response.data
    response.close()  # frees the place of a long read
    return response


def fill(rule: str, upload: str) -> str:
    parts = {"op": "pca", "selector": "latest", "upload": upload, "pipeline": "iris", "tag": "stable", "run": "5"}
    for name, value in parts.items():
        rule = rule.replace(f"<{name}>", value)
    return rule


def test_every_route_answers_as_the_table_says(server: OpStoreServer) -> None:
    def new_upload() -> str:
        upload: str = ask(server, "POST", routes.UPLOADS, json={}).json["upload"]
        return upload

    server.on_stop = lambda: None
    server.store.push("pca", b"a")
    server.store.push("forest", b"a")
    server.store.register_pipeline("iris", ["pca", "forest"])
    server.store.tag("pca", "stable")
    run = new_run("pca@1.0.0", "forest@1.0.0")
    assert server.store.record_run("iris", run).run.position == 5
    server.store.push("pca", b"broken")
    first_bad = server.store.log(limit=1)[0].position
    found = {"command": ["pytest"], "good": 2, "bad": first_bad, "last_good": 2, "first_bad": first_bad}
    locked = [{"op": each.op, "subversions": each.subversions} for each in map(server.store.show, ("pca", "forest"))]
    sent: dict[tuple[str, str], dict[str, Any]] = {
        ("PATCH", routes.OP): {"json": {"compat": "minor"}},
        ("PATCH", routes.VERSION): {"json": {"message": "text"}},
        ("POST", routes.VERSIONS): {"json": {"upload": new_upload()}},
        ("PUT", routes.YANK): {"json": {"reason": None}},
        ("POST", routes.TAGS): {"json": {"tag": "production", "versions": ["pca"]}},
        ("GET", routes.BLOBS): {"query_string": {"sample": f"xxh128:{0:032}"}},
        ("POST", routes.UPLOADS): {"json": {"size": 5}},
        ("PATCH", routes.UPLOAD): {"data": b"hello", "headers": APPEND},
        ("POST", routes.LINKS): {"json": {"upstream": "pca@1", "downstream": "forest"}},
        ("GET", routes.VERDICT): {"query_string": {"upstream": "pca", "downstream": "forest"}},
        ("POST", routes.PIPELINES): {"json": {"name": "other", "ops": ["pca"]}},
        ("POST", routes.CHECK): {"json": {"edges": [], "versions": []}},
        ("POST", routes.UPGRADE): {"json": {"lock": {"edges": [("pca", "forest")], "versions": locked}, "op": "pca"}},
        ("POST", routes.NEW_RUNS): {"json": msgspec.json.decode(records.encode(run))},
        ("POST", routes.NEW_BISECTIONS): {"json": found},
        ("GET", routes.AFFECTED): {"query_string": {"reference": "pca"}},
        ("POST", routes.GARBAGE): {"json": {}},
        ("POST", routes.REMOVALS): {"json": {"references": ["pca@1.0.0"], "dry_run": True}},
    }
    removals = [route for route in every_route() if route.method == "DELETE"]
    others = [
        route
        for route in every_route()
        if route.method != "DELETE" and route.rule not in (routes.PARTS, routes.PART_URLS)
    ]  # those two need an object store: tests/daemon/http/test_direct_pushes.py
    for route in (*others, *removals):
        status, spec = next(iter(route.responses.items()))
        path = fill(route.rule, new_upload())
        answer = ask(server, route.method, path, **sent.get((route.method, route.rule), {}))
        assert answer.status_code == status, f"{route.method} {path}: {answer.data}"
        if not isinstance(spec.body, type):
            assert answer.headers.get("Content-Type", "").partition(";")[0] == (spec.body or "")
            continue
        decoded = msgspec.json.decode(answer.data, type=spec.body)
        absent = {name for name in decoded.__struct_fields__ if getattr(decoded, name) is msgspec.UNSET}
        assert set(answer.json) == set(decoded.__struct_fields__) - absent, route.rule


def test_nothing_new_is_answered_with_200(server: OpStoreServer) -> None:
    for status in (201, 200):
        asked = ask(server, "POST", "/v1/ops/pca/versions", json={"fields": {"major": {"a": "b"}}})
        assert asked.status_code == status
        asked = ask(server, "POST", routes.PIPELINES, json={"name": "iris", "ops": ["pca", "forest"]})
        assert asked.status_code == status
    for state, status in (("valid", 201), ("revoked", 200)):
        link = {"upstream": "pca", "downstream": "forest@any", "state": state}
        assert ask(server, "POST", routes.LINKS, json=link).status_code == status


@for_each("route", list(every_route()))
def test_a_route_requires_the_scope_in_the_table(server: OpStoreServer, route: Route) -> None:
    path = fill(route.rule, "0" * 32)
    anonymous = ask(server, route.method, path, token=None)
    if route.scope is None:
        assert anonymous.status_code == 200
        return
    assert anonymous.json["code"] == "TokenRequired"
    for token, scope in TOKENS.items():
        refused = ask(server, route.method, path, token=token).json or {}
        suffices = SCOPES.index(scope) >= SCOPES.index(route.scope)
        assert (refused.get("code") == "ScopeRequired") is not suffices, token


@for_each("route", list(every_route()))
def test_a_route_takes_the_body_and_the_parameters_in_the_table(server: OpStoreServer, route: Route) -> None:
    path = fill(route.rule, "0" * 32)
    if not route.content_types:
        refused = ask(server, route.method, path, data=b"x")
        assert refused.json["details"]["reason"] == "this request takes no body"
    else:
        assert ask(server, route.method, path, data=b"x", content_type="text/x").json["code"] == "UnsupportedContent"
    if not route.content_types:
        unknown = ask(server, route.method, path, query_string={"no-such": "1"})
        assert "unknown query parameter 'no-such'" in unknown.json["detail"]
    assert (route.body is not None) == (routes.JSON in route.content_types)
    assert route.body is None or issubclass(route.body, records.Request)
