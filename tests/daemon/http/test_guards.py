"""Who may do what, and which headers every response has."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from flask import Response

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata import Database
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.proof import new_nonce
from opstore_daemon.savers import BaseSaver, FileSaver
from opstore_daemon.store.page_sessions import PageSessions
from opstore_daemon.web.app import HEADERS, check_scopes
from opstore_daemon.web.guards import PUBLIC, SCOPES, Guards, Scope, is_page
from tests.support import raw_http
from tests.support.http_client import Http
from tests.support.refusals import Watch
from tests.support.servers import ADMIN_TOKEN, READ_TOKEN, WRITE_TOKEN, open_server

TOKENS = {"read": READ_TOKEN, "write": WRITE_TOKEN, "admin": ADMIN_TOKEN}
PARTS = {"<op>": "up", "<selector>": "1.0.0", "<upload>": "a" * 32, "<pipeline>": "p", "<tag>": "prod", "<run>": "1"}


def every_route(server: OpStoreServer) -> Iterator[tuple[str, str, Scope | None]]:
    """Yield method, path and scope of all routes of the application, except the page (tests/daemon/page)."""
    for rule in server.flask.url_map.iter_rules():
        if is_page(rule.rule):
            continue
        path = rule.rule
        for part, value in PARTS.items():
            path = path.replace(part, value)
        assert "<" not in path, f"{rule.rule} has a part that this test does not know"
        view: Any = server.flask.view_functions[rule.endpoint]
        for method in sorted(rule.methods or ()):
            yield method, path, view.route.scope


def problem_or_head(watch: Watch, method: str, response: raw_http.Answer, status: int, code: str) -> None:
    if method == "HEAD":
        assert response.status == status
    else:
        watch.assert_problem(response, status, code)


def test_every_route_but_the_public_ones_requires_a_token(
    server: OpStoreServer, listener: Listener, watch: Watch
) -> None:
    found = list(every_route(server))
    assert len(found) > 20
    for method, path, scope in found:
        with raw_http.Raw(listener.port) as connection:
            connection.send(raw_http.head(method, path, host=connection.host, token=None))
            response = connection.answer(method)
        if path in PUBLIC:
            assert (scope, response.status) == (None, 200)
        else:
            problem_or_head(watch, method, response, 401, "TokenRequired")
            assert response.headers["www-authenticate"] == "Bearer"


def test_every_route_refuses_a_token_with_a_lesser_scope(
    server: OpStoreServer, listener: Listener, watch: Watch
) -> None:
    asked = 0
    for method, path, scope in every_route(server):
        lesser = SCOPES[: SCOPES.index(scope)] if scope is not None else ()
        for held in lesser:
            with raw_http.Raw(listener.port) as connection:
                for body in (b"", b"{}") if method in ("POST", "PATCH") else (b"",):
                    lines = [f"Content-Type: {routes.JSON}", f"Content-Length: {len(body)}"] if body else []
                    connection.send(
                        raw_http.head(method, path, *lines, host=connection.host, token=TOKENS[held]) + body
                    )
                    response = connection.answer(method)
                    problem_or_head(watch, method, response, 403, "ScopeRequired")
                    asked += 1
                    if response.headers.get("connection") == "close":
                        break
    assert asked >= 8


def test_a_token_can_do_what_its_scope_allows(http: Http) -> None:
    reader, writer = http.with_token(READ_TOKEN), http.with_token(WRITE_TOKEN)
    assert writer.push("up", b"bytes")["version"] == "1.0.0"
    assert reader.pull("up").content == b"bytes"
    assert reader.get(routes.STATUS).status_code == 200


def test_a_read_token_can_neither_write_nor_append(http: Http, watch: Watch) -> None:
    upload = http.upload()
    reader = http.with_token(READ_TOKEN)
    watch.mark()
    for response in (
        reader.post(routes.UPLOADS, {"size": 1}),
        reader.get(f"/v1/uploads/{upload}"),
        reader.append(upload, b"bytes"),
        reader.append(upload, iter([b"bytes"])),
        reader.append(upload, b""),
        reader.delete(f"/v1/uploads/{upload}"),
        reader.post("/v1/ops/up/versions", {"fields": {}}),
        reader.patch("/v1/ops/up", {"compat": "exact"}),
        reader.post(routes.LINKS, {"upstream": "up", "downstream": "down"}),
        reader.post(routes.PIPELINES, {"name": "p", "ops": ["up"]}),
        reader.delete("/v1/pipelines/p"),
    ):
        assert watch.assert_problem(response, 403, "ScopeRequired") == {"scope": "write"}


def test_an_unknown_credential_is_refused(http: Http, watch: Watch) -> None:
    nobody = http.with_token(None)
    basic = base64.b64encode(f"admin:{ADMIN_TOKEN}".encode()).decode()
    given = [f"Basic {basic}", f"Basic {ADMIN_TOKEN}", ADMIN_TOKEN, "Bearer", "Bearer ", f"Token {ADMIN_TOKEN}"]
    given += [f"Bearer {ADMIN_TOKEN}x", f"Bearer {ADMIN_TOKEN[:-1]}", f"Bearer {ADMIN_TOKEN} {ADMIN_TOKEN}"]
    given += [
        f"Bearer,{ADMIN_TOKEN}",
        f"Bearer {ADMIN_TOKEN.upper()}",
        f"Bearer {ADMIN_TOKEN}, Bearer x",
        "Bearer \xe4",
    ]
    given += [f'Bearer "{ADMIN_TOKEN}"', "Digest username=x", ""]
    for authorization in given:
        response = nobody.get(routes.OPS, headers={"Authorization": authorization.encode("latin-1")})
        watch.assert_problem(response, 401, "TokenRequired")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    response = nobody.get(routes.OPS, params={"access_token": ADMIN_TOKEN, "token": ADMIN_TOKEN})
    assert response.status_code == 401
    response = nobody.get(routes.OPS, headers={"Cookie": f"token={ADMIN_TOKEN}", "X-Api-Key": ADMIN_TOKEN})
    watch.assert_problem(response, 401, "TokenRequired")
    assert nobody.get(routes.OPS, headers={"Authorization": f"bearer {ADMIN_TOKEN}"}).status_code == 200


def test_a_route_without_a_scope_stops_the_daemon_from_starting(tmp_path: Path) -> None:
    server = open_server(tmp_path)
    try:
        server.flask.add_url_rule("/v1/open", "open", lambda: Response(b"open"))
        with pytest.raises(RuntimeError, match="/v1/open declares no scope"):
            check_scopes(server.flask)
        with pytest.raises(RuntimeError, match="/v1/open declares no scope"):
            Listener(server)
    finally:
        server.close()


def test_a_route_that_is_declared_public_but_is_not_stops_the_daemon_from_starting(tmp_path: Path) -> None:
    server = open_server(tmp_path)
    try:
        view: Any = server.flask.view_functions[f"GET {routes.OPS}"]
        view.route = replace(view.route, scope=None)
        with pytest.raises(RuntimeError, match="/v1/ops declares no scope"):
            check_scopes(server.flask)
    finally:
        server.close()


FOREIGN: list[dict[str, str]] = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": ""},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "none, cross-site"},
]


def test_a_request_from_another_site_is_refused_even_if_it_only_reads(http: Http, watch: Watch) -> None:
    for headers in FOREIGN:
        for path in (routes.OPS, routes.HEALTH, routes.READY, "/nowhere"):
            watch.assert_problem(http.get(path, headers=headers), 403, "ForeignOrigin")
        response = http.post(routes.PIPELINES, {"name": "p", "ops": ["up"]}, headers=headers)
        watch.assert_problem(response, 403, "ForeignOrigin")
        response = http.ask("OPTIONS", routes.OPS, headers={**headers, "Access-Control-Request-Method": "GET"})
        watch.assert_problem(response, 403, "ForeignOrigin")
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


def test_a_request_from_our_own_site_or_from_no_site_is_answered(http: Http) -> None:
    for headers in ({"Origin": http.url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert http.get(routes.OPS, headers=headers).status_code == 200


def test_a_configured_host_name_is_accepted() -> None:
    guards = Guards(
        {"t": "read"}, PageSessions(Database("sqlite://")), hosts=["Models.example.com", "models.example.com:8443"]
    )
    for host in ("models.example.com", "models.example.com:8443", "MODELS.example.com"):
        headers = {"Host": host, "Authorization": "Bearer t"}
        assert guards.check(headers.get, routes.OPS, 80) is not None
    for host in ("models.example.com:1", "x.models.example.com"):
        with pytest.raises(errors.ForeignHost):
            guards.check({"Host": host}.get, routes.OPS, 80)


@pytest.mark.parametrize("path", sorted(PUBLIC - {routes.SIGN_IN}))
def test_the_public_paths_return_ok_and_nothing_else(http: Http, watch: Watch, path: str) -> None:
    response = http.with_token(None).get(path)
    assert (response.status_code, response.content) == (200, b"ok\n")
    told = {name.lower() for name in response.headers} - {name.lower() for name in HEADERS}
    assert told == {"content-type", "content-length", "date", routes.REQUEST_ID.lower()}
    assert http.with_token("wrong").get(path).status_code == 200
    watch.assert_problem(http.with_token(None).post(path), 405, "MethodNotAllowed")
    for other in (f"{path}/", f"{path}/x", f"{path}%2f", path.upper()):
        watch.assert_problem(http.with_token(None).get(other), 401, "TokenRequired")


@pytest.mark.local
def test_a_failing_store_is_reported_as_not_ready_without_details(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_saver: FileSaver) -> int:
        raise errors.StorageFailed(reason="the secret disk")

    monkeypatch.setattr(FileSaver, "free", failing)
    response = http.with_token(None).get(routes.READY)
    assert watch.assert_problem(response, 503, "NotReady") == {}
    assert (response.json()["detail"], response.headers["Retry-After"]) == ("not ready", "1")
    assert http.with_token(None).get(routes.HEALTH).status_code == 200


def test_the_daemon_proves_that_it_knows_the_token(http: Http, listener: Listener, watch: Watch) -> None:
    nobody = http.with_token(None)
    nonce = new_nonce()
    response = nobody.get(routes.HEALTH, headers={routes.NONCE: nonce})
    key = hashlib.sha256(ADMIN_TOKEN.encode()).digest()
    proof = hmac.new(key, f"opstore-proof:127.0.0.1:{listener.port}:{nonce}".encode(), "sha256").hexdigest()
    assert proof in response.headers[routes.PROOF].split(", ")
    for host in (f"localhost:{listener.port}", f"[::1]:{listener.port}"):
        elsewhere = nobody.get(routes.HEALTH, headers={routes.NONCE: nonce, "Host": host})
        assert (elsewhere.status_code, routes.PROOF in elsewhere.headers) == (200, False)
    assert routes.PROOF not in nobody.get(routes.HEALTH).headers
    for wrong in ("", "a" * 31, "a" * 129, "A" * 32, "g" * 32, "ä".encode(), "a" * 32 + " b"):
        refused = nobody.get(routes.HEALTH, headers={routes.NONCE: wrong})
        watch.assert_problem(refused, 400, "InvalidRequest")
        assert routes.PROOF not in refused.headers


def test_every_response_has_the_security_headers(http: Http, listener: Listener) -> None:
    http.push("up", b"bytes")
    etag = {"If-None-Match": http.pull("up").headers["ETag"]}
    responses = {
        200: http.pull("up"),
        206: http.pull("up", headers={"Range": "bytes=0-1"}),
        304: http.pull("up", headers=etag),
        404: http.get("/v1/ops/other"),
        201: http.post(routes.PIPELINES, {"name": "p", "ops": ["up"]}),
        204: http.delete("/v1/pipelines/p"),
        401: http.with_token(None).get(routes.OPS),
        405: http.ask("OPTIONS", routes.OPS),
    }
    for status, response in responses.items():
        assert response.status_code == status
        for name, value in HEADERS.items():
            assert response.headers[name] == value, (status, name)
        assert response.headers["Cache-Control"] == "no-store"
        assert "Server" not in response.headers


def test_a_well_formed_request_id_is_returned(http: Http) -> None:
    nobody = http.with_token(None)
    for given in ("a", "abc-123_X.y", "0" * 64):
        for client, path in ((http, routes.OPS), (http, "/nowhere"), (nobody, routes.OPS), (nobody, routes.HEALTH)):
            response = client.get(path, headers={routes.REQUEST_ID: given})
            assert response.headers[routes.REQUEST_ID] == given
    for wrong in ("", "0" * 65, "a b", "a/b", "ä".encode(), "<b>", "a;"):
        for client in (http, nobody):
            made = client.get(routes.OPS, headers={routes.REQUEST_ID: wrong}).headers[routes.REQUEST_ID]
            assert (len(made), made.isalnum()) == (16, True)


def test_an_unknown_path_is_reported_only_with_a_token(http: Http, watch: Watch) -> None:
    nobody = http.with_token(None)
    for method, path in (
        ("GET", "/nowhere"),
        ("GET", "/nowhere/"),
        ("PUT", routes.OPS),
        ("GET", "/v1/ops/"),
        ("TRACE", "/v1"),
    ):
        watch.assert_problem(nobody.ask(method, path), 401, "TokenRequired")
    for path in ("/nowhere", "/ui", "/v1", "/v1/ops/", "/v1//ops", "/v1/ops/a/b/c/d", "/static/x", "/favicon.ico"):
        assert watch.assert_problem(http.get(path), 404, "RouteNotFound") == {"path": path}
    for method, path, allowed in (
        ("PUT", routes.OPS, "GET, HEAD"),
        ("OPTIONS", routes.LINKS, "GET, HEAD, POST"),
        ("TRACE", routes.HEALTH, "GET, HEAD"),
        ("BREW", "/v1/ops/up", "GET, HEAD, PATCH"),
    ):
        response = http.ask(method, path)
        assert watch.assert_problem(response, 405, "MethodNotAllowed") == {"method": method, "path": path}
        assert response.headers["Allow"] == allowed


def test_no_token_is_logged(
    server: OpStoreServer, http: Http, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("opstore", "waitress", "werkzeug", "flask", "sqlalchemy", "alembic"):
            caplog.set_level(logging.DEBUG, name)
    wrong = "wrong-token-77c1"
    http.push("up", b"bytes")
    for client in (http, http.with_token(wrong), http.with_token(READ_TOKEN)):
        client.get(routes.OPS)
        client.get("/nowhere")
        client.post(routes.PIPELINES, {"name": "p"})
        client.append("a" * 32, b"bytes")
        client.get(routes.HEALTH, headers={routes.NONCE: "a" * 64})
        client.get(routes.OPS, headers={"Host": "evil.example"})

    def failing(_saver: BaseSaver, _digest: str) -> BinaryIO:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(server.store.saver), "open", failing)
    response = http.pull("up")
    assert (response.status_code, response.json()["code"]) == (500, "InternalError")
    monkeypatch.undo()
    shown = caplog.text + "".join(record.getMessage() + str(record.args) for record in caplog.records)
    assert response.json()["details"]["reference"] in shown
    assert "a bug" in shown
    assert "a bug" not in response.text
    assert "GET /v1/ops 401" in shown  # who is refused is in the log too
    for token in (ADMIN_TOKEN, READ_TOKEN, wrong):
        assert token not in shown


def test_a_path_cannot_write_lines_into_the_log(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "opstore.access")
    for client in (http, http.with_token(None)):
        client.get("/v1/ops/a%0d%0a2026-01-01%20forged%1b%5b31m%e2%80%ae")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    for message in messages:
        assert "forged" in message
        assert message.isprintable()
        assert message.isascii()
