"""Sessions of the page: a code that works once starts one, for the page only, until it is ended."""

import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select

from opstore_daemon.http_server.channel import Channel
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.metadata.tables import PageCode, PageSession
from opstore_daemon.protocol import routes
from opstore_daemon.store.page_sessions import CODE_SECONDS, MAX_SESSIONS, SESSION_SECONDS, PageSessions
from opstore_daemon.web.page import PAGES
from tests.daemon.page import stores
from tests.support.figures import few
from tests.support.places import Place
from tests.support.servers import ADMIN_TOKEN
from tests.support.site import TIMEOUT, Site

PARTS = {"<op>": "pca", "<other>": "forest", "<selector>": "1.0.0", "<pipeline>": "churn"}
PRIVATE_PAGES = [(page.method, page.rule) for page in PAGES if page.scope is not None]


@pytest.mark.parametrize(("method", "rule"), few(4, PRIVATE_PAGES))
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


def test_the_cookie_is_secure_except_on_loopback(place: Place) -> None:
    server = stores.server(place, hosts=["models.example.com"])
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


def test_a_token_cannot_end_the_sessions_of_another_token(place: Place) -> None:
    server = stores.server(place, tokens={"reader": "read"})
    with closing(server), Listener(server) as listener:
        site = Site(server, listener)
        site.sign_in()
        reader = {"Authorization": "Bearer reader"}
        assert requests.delete(site.url + routes.SESSIONS, headers=reader, timeout=TIMEOUT).status_code == 204
        assert site.get("/").status_code == 200
        site.browser.close()


def test_every_daemon_of_a_store_accepts_a_session_and_any_of_them_ends_it(place: Place, tmp_path: Path) -> None:
    """One after the other, as a database in a file has one daemon at a time."""
    cookies: dict[str, str] = {}

    def looked(token: str = ADMIN_TOKEN) -> int:
        with closing(place.open(tmp_path, token=token)) as server:
            browser = server.flask.test_client()
            name, secret = next(iter(cookies.items()))
            browser.set_cookie(name, secret, domain="127.0.0.1")
            return browser.get("/", headers={"Host": "127.0.0.1:80"}).status_code

    with closing(place.open(tmp_path)) as server:
        browser = server.flask.test_client()
        head = {"Host": "127.0.0.1:80", "Authorization": f"Bearer {ADMIN_TOKEN}"}
        path = browser.post(routes.SESSIONS, headers=head).json["path"]  # type: ignore[index]
    with closing(place.open(tmp_path)) as server:
        browser = server.flask.test_client()
        response = browser.get(path, headers={"Host": "127.0.0.1:80"})
        name, _, rest = response.headers["Set-Cookie"].partition("=")
        cookies[name] = rest.partition(";")[0]
    assert (name, looked()) == ("opstore-session-80", 200)
    assert looked("another-token-of-more-than-16-digits") == 401, "a new token ends the sessions of the old one"
    with closing(place.open(tmp_path)) as server:
        assert server.flask.test_client().delete(routes.SESSIONS, headers=head).status_code == 204
    assert looked() == 401


def test_a_session_is_named_by_the_port_that_the_browser_sees(place: Place) -> None:
    """Behind a load balancer that is another one than the daemon's, and the same for all daemons."""
    server = stores.server(place, hosts=["127.0.0.1:9000", "models.example.com"])
    with closing(server):
        browser = server.flask.test_client()
        for host, port in (("127.0.0.1:9000", "9000"), ("models.example.com", "80")):
            head = {"Host": host, "Authorization": f"Bearer {server.token}"}
            path = browser.post(routes.SESSIONS, headers=head).json["path"]  # type: ignore[index]
            cookie = browser.get(path, headers={"Host": host}).headers["Set-Cookie"]
            assert cookie.startswith(f"opstore-session-{port}=")


def test_the_loop_of_the_server_does_not_look_for_sessions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the database, for which it never waits; a browser counts as a user all the same."""
    threads: list[str] = []
    owner = PageSessions.owner

    def recorded(sessions: PageSessions, secret: str) -> str | None:
        threads.append(threading.current_thread().name)
        return owner(sessions, secret)

    users: list[Channel] = []
    monkeypatch.setattr(PageSessions, "owner", recorded)
    monkeypatch.setattr(Channel, "set_authenticated", lambda channel: users.append(channel))
    site.sign_in()
    assert site.get("/").status_code == 200
    assert threads
    assert all(name.startswith("waitress-") for name in threads)
    assert users


def test_the_database_has_no_secret(site: Site) -> None:
    code = site.invite()
    secret = site.get(code).headers["Set-Cookie"].partition("=")[2].partition(";")[0]
    with site.server.db.read() as connection:
        rows = [*connection.execute(select(PageCode)), *connection.execute(select(PageSession))]
    assert len(rows) == 2
    for hidden in (code.rpartition("/")[2], secret, site.server.token):
        assert hidden not in str(rows)


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


class At:
    """A clock that a test moves by seconds."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> At:
    return At()


@pytest.fixture
def sessions(place: Place, clock: At) -> Iterator[PageSessions]:
    with closing(stores.server(place)) as server:
        yield PageSessions(server.db, clock)


def test_a_code_works_for_a_minute(sessions: PageSessions, clock: At) -> None:
    early, late = sessions.invite("owner"), sessions.invite("owner")
    clock.advance(CODE_SECONDS - 1)
    secret = sessions.start(early)
    assert secret is not None
    clock.advance(1)
    assert sessions.start(late) is None
    assert sessions.start(early) is None
    assert sessions.owner(secret) == "owner", "a code that is too old tells nothing of a session"


def test_a_session_expires(sessions: PageSessions, clock: At) -> None:
    secret = sessions.start(sessions.invite("owner")) or ""
    clock.advance(SESSION_SECONDS - 1)
    assert sessions.owner(secret) == "owner"
    clock.advance(1)
    assert sessions.owner(secret) is None
    sessions.invite("another")
    assert count(sessions, PageSession) == 0, "the next code deletes what has expired"


def count(sessions: PageSessions, table: Any) -> int:
    """Return how many rows a table has."""
    with sessions._database.read() as connection:
        found: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return found


def test_the_oldest_session_is_dropped_at_the_limit(sessions: PageSessions, clock: At) -> None:
    other = sessions.start(sessions.invite("another")) or ""
    secrets = []
    for _ in range(MAX_SESSIONS + 1):
        clock.advance(1)
        secrets.append(sessions.start(sessions.invite("owner")) or "")
    assert sessions.owner(secrets[0]) is None
    assert all(sessions.owner(secret) == "owner" for secret in secrets[1:])
    codes = []
    for _ in range(MAX_SESSIONS + 1):
        clock.advance(0.1)
        codes.append(sessions.invite("owner"))
    assert sessions.start(codes[0]) is None
    assert sessions.start(codes[-1]) is not None
    assert sessions.owner(other) == "another", "another token has as many of its own"
    assert count(sessions, PageCode) <= 2 * MAX_SESSIONS


def test_of_two_who_use_a_code_at_the_same_time_none_keeps_a_session(sessions: PageSessions) -> None:
    """Both have seen that the code is unused, as two daemons may."""
    for _ in range(10):
        code, barrier = sessions.invite("owner"), threading.Barrier(2)
        is_code = sessions._is_code

        def both_see_it(hashed: str, now: int) -> bool:
            found = is_code(hashed, now)  # noqa: B023 - the loop waits for its threads
            barrier.wait(TIMEOUT)  # noqa: B023
            return found

        sessions._is_code = both_see_it  # type: ignore[method-assign]
        with ThreadPoolExecutor(2) as pool:
            secrets = list(pool.map(sessions.start, [code, code]))
        sessions._is_code = is_code  # type: ignore[method-assign]
        assert secrets.count(None) == 1
        assert [sessions.owner(secret) for secret in secrets if secret is not None] == [None]


@pytest.mark.parametrize("secret", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "!", "ä" * 43, "\ud800" * 43])
def test_what_is_no_secret_takes_no_statement(sessions: PageSessions, secret: str) -> None:
    sessions._database = None  # type: ignore[assignment]
    assert sessions.owner(secret) is None
    assert sessions.start(secret) is None


def test_a_user_can_log_out_while_the_disk_is_full(sessions: PageSessions, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = sessions.start(sessions.invite("owner")) or ""
    freed: list[object] = []
    spend_on = sessions._database.spend_on

    def recorded(work: Any) -> Any:
        freed.append(work)
        return spend_on(work)

    monkeypatch.setattr(sessions._database, "spend_on", recorded)
    sessions.end(secret)
    sessions.end_all("owner")
    assert len(freed) == 2, "it may use the reserve"
    assert sessions.owner(secret) is None
