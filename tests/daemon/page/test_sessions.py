"""Sessions of the page: a code that works once starts one, for the page only, until it is ended."""

import logging
import re
from contextlib import closing

import pytest
import requests

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.web.page import PAGES
from opstore_daemon.web.sessions import CODE_SECONDS, MAX_SESSIONS, Sessions
from tests.daemon.page import stores
from tests.support.clock import Clock
from tests.support.site import TIMEOUT, Site

PARTS = {"<op>": "pca", "<other>": "forest", "<selector>": "1.0.0", "<pipeline>": "churn"}
PRIVATE_PAGES = [(page.method, page.rule) for page in PAGES if page.scope is not None]


@pytest.mark.parametrize(("method", "rule"), PRIVATE_PAGES)
@pytest.mark.parametrize("own_server", [True, False])
def test_without_a_session_a_page_explains_how_to_sign_in(site: Site, method: str, rule: str, own_server: bool) -> None:
    for part, value in PARTS.items():
        rule = rule.replace(part, value)
    if own_server:
        response = site.browser.request(method, site.url + rule, timeout=TIMEOUT)
        status, text, headers = response.status_code, response.text, dict(response.headers)
    else:
        told = site.server.flask.test_client().open(rule, method=method, headers={"Host": "127.0.0.1:80"})
        status, text, headers = told.status_code, told.text, dict(told.headers)
    assert status == 401
    assert "opstore open" in text
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Set-Cookie" not in headers


def test_unknown_paths_of_the_page_require_a_session_too(site: Site) -> None:
    response = site.get("/ui/nothing")
    assert response.status_code == 401
    assert "opstore open" in response.text


def test_a_code_starts_one_session_only(site: Site) -> None:
    code = site.invite()
    first = site.get(code)
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    assert site.get("/").status_code == 200
    other = requests.get(site.url + code, timeout=TIMEOUT, allow_redirects=False)
    assert other.status_code == 401
    assert "Set-Cookie" not in other.headers
    assert site.get("/").status_code == 401, "one of the two who had the code should not have had it"


def test_a_head_request_does_not_use_the_code(site: Site) -> None:
    code = site.invite()
    looked = requests.head(site.url + code, timeout=TIMEOUT, allow_redirects=False)
    assert (looked.status_code, "Set-Cookie" in looked.headers) == (401, False)
    assert site.get(code).status_code == 303
    assert site.get("/").status_code == 200


def test_the_cookie_is_for_this_daemon_and_hidden_from_scripts(site: Site) -> None:
    told = site.get(site.invite()).headers["Set-Cookie"]
    name, *attributes = told.split("; ")
    assert name.startswith(f"opstore-session-{site.port}=")
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert site.server.token not in told


def test_the_cookie_is_secure_except_on_loopback() -> None:
    server = stores.server(hosts=["models.example.com"])
    with closing(server):
        browser = server.flask.test_client()
        head = {"Host": "models.example.com", "Authorization": f"Bearer {server.token}"}
        path = browser.post(routes.SESSIONS, headers=head).json["path"]  # type: ignore[index]
        assert "; Secure" in browser.get(path, headers={"Host": "models.example.com"}).headers["Set-Cookie"]


def test_a_session_can_only_read_the_page(site: Site) -> None:
    site.sign_in()
    assert site.get(routes.OPS).status_code == 401
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        response = site.browser.request(method, site.url + routes.HOME, timeout=TIMEOUT)
        assert response.status_code == 405, method
    sessions = site.browser.request("DELETE", site.url + routes.SESSIONS, timeout=TIMEOUT)
    assert sessions.status_code == 401


def test_a_token_does_not_replace_a_session(site: Site) -> None:
    assert site.get("/", headers=site.bearer).status_code == 401


def test_logging_out_ends_only_this_session(site: Site) -> None:
    site.sign_in()
    (kept,) = (cookie.value for cookie in site.browser.cookies)
    with requests.Session() as other:
        other.get(site.url + site.invite(), timeout=TIMEOUT)
        response = site.browser.post(site.url + routes.SIGN_OUT, timeout=TIMEOUT)
        assert (response.status_code, "Logged out" in response.text) == (200, True)
        name = f"opstore-session-{site.port}"
        assert requests.get(site.url, cookies={name: str(kept)}, timeout=TIMEOUT).status_code == 401
        assert other.get(site.url, timeout=TIMEOUT).status_code == 200


def test_a_token_can_end_all_its_sessions_and_codes(site: Site) -> None:
    site.sign_in()
    code = site.invite()
    assert requests.delete(site.url + routes.SESSIONS, headers=site.bearer, timeout=TIMEOUT).status_code == 204
    assert site.get("/").status_code == 401
    assert site.get(code).status_code == 401


def test_a_token_cannot_end_the_sessions_of_another_token() -> None:
    server = stores.server(tokens={"reader": "read"})
    with closing(server), Listener(server) as listener:
        site = Site(server, listener)
        site.sign_in()
        reader = {"Authorization": "Bearer reader"}
        assert requests.delete(site.url + routes.SESSIONS, headers=reader, timeout=TIMEOUT).status_code == 204
        assert site.get("/").status_code == 200
        site.browser.close()


def test_a_session_ends_with_the_daemon() -> None:
    cookies = {}
    with closing(stores.server(token="t")) as server, Listener(server) as listener:
        site = Site(server, listener)
        site.sign_in()
        cookies = {cookie.name: str(cookie.value) for cookie in site.browser.cookies}
        site.browser.close()
        port = listener.port
    with closing(stores.server(token="t")) as server, Listener(server, port=port) as listener:
        assert requests.get(listener.url, cookies=cookies, timeout=TIMEOUT).status_code == 401


def test_no_secret_is_logged_or_returned(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    code = site.invite()
    told = site.get(code)
    secret = told.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    again = site.get("/")
    site.get("/ui/open/of-an-earlier-time")
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("opstore"))
    for written in (logged, told.text, again.text, str(again.headers)):
        for hidden in (code.rpartition("/")[2], secret, site.server.token, "of-an-earlier-time"):
            assert hidden not in written
    assert "GET /ui/open/<code> 303" in logged


@pytest.mark.parametrize("head", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Host": "evil"}])
@pytest.mark.parametrize("path", ["/", "/ui/journal", "a code"])
def test_a_foreign_site_gets_no_page_and_starts_no_session(site: Site, path: str, head: dict[str, str]) -> None:
    site.sign_in()
    response = site.get(site.invite() if path == "a code" else path, headers=head)
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_a_foreign_form_cannot_log_a_user_out(site: Site) -> None:
    site.sign_in()
    response = site.browser.post(site.url + routes.SIGN_OUT, headers={"Origin": "http://evil"}, timeout=TIMEOUT)
    assert response.status_code == 403
    assert site.get("/").status_code == 200


@pytest.mark.parametrize(
    ("asked", "led"),
    [
        ("/ui/ops/pca", "/ui/ops/pca"),
        ("/ui/journal?below=3", "/ui/journal?below=3"),
        ("//evil.example", "/"),
        ("http://evil.example/", "/"),
        ("/v1/ops", "/"),
        ("/ui/\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_a_session_starts_on_a_page_of_this_daemon(site: Site, asked: str, led: str) -> None:
    response = site.get(site.invite(), params={"to": asked})
    assert (response.status_code, response.headers["Location"]) == (303, led)


def test_every_response_of_the_page_has_the_security_policy(site: Site) -> None:
    for response in (site.get("/"), site.get(site.invite()), site.get("/"), site.get("/ui/nothing")):
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert re.search("https?:", policy) is None
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_code_works_for_a_minute() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    early, late = sessions.invite("owner"), sessions.invite("owner")
    clock.now += CODE_SECONDS - 1
    secret = sessions.start(early)
    assert secret is not None
    clock.now += 1
    assert sessions.start(late) is None
    assert sessions.start(early) is None
    assert sessions.owner(secret) == "owner", "a code that is too old tells nothing of a session"


def test_the_oldest_session_is_dropped_at_the_limit() -> None:
    sessions = Sessions()
    secrets = [sessions.start(sessions.invite("owner")) or "" for _ in range(MAX_SESSIONS + 1)]
    assert sessions.owner(secrets[0]) is None
    assert all(sessions.owner(secret) == "owner" for secret in secrets[1:])
    codes = [sessions.invite("owner") for _ in range(MAX_SESSIONS + 1)]
    assert sessions.start(codes[0]) is None
    assert sessions.start(codes[-1]) is not None
