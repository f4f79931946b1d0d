"""Pages are bounded, and together they are the whole list."""

from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from opstore_daemon.protocol.records import Compat
from tests.support.for_each import for_each
from tests.support.http_client import Http
from tests.support.refusals import Watch

LISTINGS = {
    "/v1/ops": "ops",
    "/v1/ops/up/versions": "versions",
    "/v1/links": "links",
    "/v1/pipelines": "pipelines",
}


@pytest.fixture
def filled(http: Http, watch: Watch) -> Watch:
    for number in range(7):
        http.register("up", a=str(number))
        http.post("/v1/pipelines", {"name": f"p-{number}", "ops": ["up", f"down-{number}"]})
        http.post("/v1/links", {"upstream": f"up@{number + 1}.0.0", "downstream": f"down-{number}@any"})
    watch.mark()
    return watch


def test_an_invalid_limit_is_refused(http: Http, filled: Watch) -> None:
    for path in LISTINGS:
        for limit in ("0", "1001", "-1", "+1", "01", "1.0", "1e2", "", " ", "x", "１", "9" * 30, "%31%00"):
            response = http.get(f"{path}?limit={quote(limit, safe='%')}")
            filled.assert_problem(response, 400, "InvalidRequest")


@pytest.mark.parametrize("path", ["/v1/ops/up/versions", "/v1/links"])
def test_an_invalid_cursor_is_refused(http: Http, filled: Watch, path: str) -> None:
    for cursor in ("-1", "x", "1.0", "１", "9" * 19, "0x1", ""):
        details = filled.assert_problem(http.get(path, params={"cursor": cursor}), 400, "InvalidRequest")
        assert "from 0 to 999999999999999999" in details["reason"]


def test_a_cursor_may_point_anywhere(http: Http, filled: Watch) -> None:
    for path, key in LISTINGS.items():
        numbers = ("0", "9" * 18) if key in ("versions", "links") else ("", "~", "ä", "'; DROP TABLE op; --")
        for cursor in numbers:
            response = http.get(path, params={"cursor": cursor})
            assert (response.status_code, type(response.json()[key])) == (200, list)
    for path in ("/v1/ops", "/v1/pipelines"):
        filled.assert_problem(http.get(path, params={"cursor": "a\0b"}), 400, "InvalidRequest")
    filled.assert_unchanged()


def test_an_unknown_parameter_is_refused(http: Http, filled: Watch) -> None:
    paths = [*LISTINGS, "/v1/ops/up", "/v1/ops/up/versions/latest", "/v1/ops/up/versions/latest/bytes", "/v1/status"]
    paths += ["/v1/verdict?upstream=up&downstream=down-1", "/v1/pipelines/p-1", "/v1/pipelines/p-1/verdict"]
    for path in paths:
        for parameter in ("vaild_for=down", "LIMIT=1", "limit[]=1", "=", "a"):
            joined = f"{path}{'&' if '?' in path else '?'}{parameter}"
            filled.assert_problem(http.get(joined), 400, "InvalidRequest")


def test_an_unknown_parameter_of_a_change_is_refused(http: Http, filled: Watch) -> None:
    compat: Compat = "exact"
    changes: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/v1/pipelines?a=1", {"name": "q", "ops": ["up"]}),
        ("DELETE", "/v1/pipelines/p-1?a=1", None),
        ("POST", "/v1/links?a=1", {"upstream": "up", "downstream": "x"}),
        ("PATCH", "/v1/ops/up?a=1", {"compat": compat}),
        ("POST", "/v1/ops/up/versions?a=1", {"fields": {"major": {"a": "x"}}}),
        ("POST", "/v1/uploads?a=1", {"size": 1}),
    ]
    for method, path, body in changes:
        filled.assert_problem(http.ask(method, path, body), 400, "InvalidRequest")


def test_an_append_with_a_parameter_stores_no_byte(http: Http, filled: Watch) -> None:
    upload = http.upload()
    filled.mark()
    filled.assert_problem(http.append(f"{upload}?a=1", b"bytes"), 400, "InvalidRequest")
    assert http.get(f"/v1/uploads/{upload}").json()["offset"] == 0


def test_a_repeated_parameter_is_refused(http: Http, filled: Watch) -> None:
    for target in (
        "/v1/ops?limit=1&limit=1",
        "/v1/ops?cursor=a&cursor=b",
        "/v1/ops/up/versions?limit=1&limit=2",
        "/v1/ops/up/versions?select=1&select=2",
        "/v1/ops/up/versions?cursor=1&cursor=2",
        "/v1/links?op=up&op=up",
        "/v1/verdict?upstream=up&upstream=up&downstream=down-1",
        "/v1/verdict?upstream=up&downstream=down-1&downstream=down-2",
    ):
        filled.assert_problem(http.get(target), 400, "InvalidRequest")


def test_the_history_of_links_is_a_flag_of_1_or_0(http: Http, filled: Watch) -> None:
    whole = http.get("/v1/links").json()
    assert http.get("/v1/links?history=0").json() == whole
    assert http.get("/v1/links?history=1").json() == whole
    for wrong in ("", "2", "true", "-1", "01", "１"):
        filled.assert_problem(http.get("/v1/links", params={"history": wrong}), 400, "InvalidRequest")
    for repeated in ("history=1&history=1", "upstream=up&upstream=up", "downstream=up&downstream=up"):
        filled.assert_problem(http.get(f"/v1/links?{repeated}"), 400, "InvalidRequest")


def test_pages_of_links_are_stable_while_links_are_recorded(http: Http, filled: Watch) -> None:
    asked = "/v1/links?upstream=up&history=1"
    before = http.get(asked).json()["links"]
    first = http.get(f"{asked}&limit=3").json()
    for number in range(3):
        http.post("/v1/links", {"upstream": "up@7.0.0", "downstream": f"down-{number}@any", "state": "invalid"})
    rest = http.get(f"{asked}&cursor={first['next_cursor']}").json()["links"]
    assert first["links"] + rest == before
    assert len(http.get(asked).json()["links"]) == len(before) + 3


def test_a_missing_parameter_is_refused(http: Http, filled: Watch) -> None:
    for target in ("/v1/verdict", "/v1/verdict?upstream=up", "/v1/verdict?downstream=up"):
        filled.assert_problem(http.get(target), 400, "InvalidRequest")


@for_each("path", LISTINGS)
def test_all_pages_together_are_the_whole_list(http: Http, filled: Watch, path: str) -> None:
    whole = http.get(path).json()[LISTINGS[path]]
    assert len(whole) >= 7
    for limit in (1, 2, 3, 7, 8, 1000):
        assert _pages(http, path, limit) == whole


@pytest.fixture
def changed(http: Http, filled: Watch) -> None:
    """A link with three more entries."""
    for state in ("invalid", "revoked", "valid"):
        http.post("/v1/links", {"upstream": "up@2.0.0", "downstream": "down-1@any", "state": state})


@pytest.mark.slow
@pytest.mark.usefixtures("changed")
@for_each(
    ("asked", "history"),
    product(["upstream=up", "downstream=down-1", "upstream=up&downstream=down-1", "op=up"], ["0", "1"]),
)
def test_all_pages_of_filtered_links_are_the_whole_list(http: Http, asked: str, history: str) -> None:
    given = dict(part.split("=") for part in asked.split("&")) | {"history": history}
    whole = http.get("/v1/links", params=given).json()["links"]
    assert len(whole) == {"up": 7, "down-1": 1}[asked.rpartition("=")[2]] + 3 * int(history)
    for limit in (1, 2, 1000):
        assert _pages(http, "/v1/links", limit, **given) == whole


def _pages(http: Http, path: str, limit: int, **given: str) -> list[Any]:
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        params = {**given, "limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
        page = http.get(path, params=params).json()
        assert len(page[LISTINGS[path]]) <= limit
        seen += page[LISTINGS[path]]
        cursor = page["next_cursor"]
        if cursor is None:
            return seen
