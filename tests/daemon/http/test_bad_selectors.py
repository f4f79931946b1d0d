"""Selectors that are invalid, or match nothing."""

import re
from urllib.parse import quote

import pytest

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import references
from opstore_daemon.protocol.digests import digest_of
from tests.support import raw_http
from tests.support.figures import few
from tests.support.http_client import Http
from tests.support.refusals import Watch

NUMBERS = [
    "01.0.0",
    "1.00.0",
    "1.0.00",
    "01",
    "1.01",
    "2147483648",
    "1.2147483648",
    "1.0.2147483648",
    "9" * 100,
    "1." + "9" * 400 + ".0",
    "１.0.0",
    "١.٠.٠",
    "²",
]
REFERENCES = [
    "-1",
    "+1",
    "1.",
    ".1",
    "1..0",
    "1 0",
    " 1.0.0",
    "1.0.0\n",
    "LATEST",
    "sha256:",
    "sha256:1234567",
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 65,
    "sha256:" + "g" * 8,
    "sha512:" + "a" * 64,
    "md5:" + "a" * 32,
    ">=",
    ">=1,",
    ">=01",
    ">=1.2.3.4",
    "~=1",
    "==*",
    "===1.0.0",
    ">=1;<2",
    ">=1,<2.0a1",
    "<9999999999999999999999999999999999999999" * 6,
    "a/b",
    "a\\b",
    "..",
    "a\0b",
    "\x1b[0m",
    "ä",
    "con",
    "Tag",
    "1.0.0@1.0.0",
    "x" * 129,
]


def _places(selector: str) -> list[tuple[str, dict[str, str]]]:
    return [
        ("/v1/verdict", {"upstream": f"up@{selector}", "downstream": "down"}),
        ("/v1/verdict", {"upstream": "up", "downstream": f"down@{selector}"}),
        ("/v1/ops/up/versions", {"select": selector}),
        ("/v1/ops/up/versions", {"valid_for": f"down@{selector}"}),
        ("/v1/pipelines/p/verdict", {"use": f"up@{selector}"}),
        ("/v1/pipelines/p/resolution", {"use": f"up@{selector}"}),
        ("/v1/affected", {"reference": f"up@{selector}"}),
    ]


@pytest.fixture
def filled(http: Http, watch: Watch) -> Watch:
    for op in ("up", "down"):
        http.register(op, a="1")
    http.post("/v1/pipelines", {"name": "p", "ops": ["up", "down"]})
    watch.mark()
    return watch


def _codes(selector: str) -> tuple[str, ...]:
    return ("InvalidVersion", "InvalidReference") if selector in NUMBERS else ("InvalidReference",)


@pytest.mark.parametrize(
    "selectors",
    few(1, [[*NUMBERS[::4], *REFERENCES[::5], ""], NUMBERS, REFERENCES[:20], REFERENCES[20:]]),
    ids=["some", "numbers", "more", "rest"],
)
def test_an_invalid_selector_is_refused_everywhere(
    http: Http, listener: Listener, filled: Watch, selectors: list[str]
) -> None:
    for selector in selectors:
        _check_selector(http, listener, filled, selector)


def _check_selector(http: Http, listener: Listener, filled: Watch, selector: str) -> None:
    responses = [http.get(path, params=params) for path, params in _places(selector)]
    responses += [
        http.post("/v1/links", {"upstream": f"up@{selector}", "downstream": "down"}),
        http.post("/v1/links", {"upstream": "up", "downstream": f"down@{selector}"}),
        http.post("/v1/ops/up/versions", {"fields": {}, "valid_for": [f"down@{selector}"]}),
        http.post("/v1/ops/down/versions", {"fields": {}, "valid_with": [f"up@{selector}"]}),
    ]
    for response in responses:
        assert response.status_code == 400, (response.request.url, response.text)
        # The body's texts are bounded at 512 characters, those of a query have no NUL: both are looked at first.
        codes = (*_codes(selector), *(("InvalidRequest",) if len(selector) > 200 or "\0" in selector else ()))
        assert response.json()["code"] in codes
        filled.assert_problem(response, 400, response.json()["code"], unchanged=False)
    filled.assert_unchanged()
    for ending in ("", "/bytes"):
        target = f"/v1/ops/up/versions/{quote(selector, safe='')}{ending}"
        shown = raw_http.ask(listener.port, "GET", target)
        if "/" in selector or (not selector and ending) or not selector:
            filled.assert_problem(shown, 404, "RouteNotFound")
        else:
            assert shown.status == 400
            filled.assert_problem(
                shown, 400, "InvalidVersion" if b"InvalidVersion" in shown.body else "InvalidReference"
            )


NOTHING = ["1.0.1", "2", "1.1", "2147483647.2147483647.2147483647", "0.0.0", ">=2", "!=1.*", "sha256:" + "0" * 64]
NOTHING += ["sha256:00000000", "abcd.abcd.abcd", "abcd.abcd.abcd_2024-01-01"]


def test_a_selector_that_matches_nothing_is_version_not_found(http: Http, filled: Watch) -> None:
    for selector in NOTHING:
        filled.assert_problem(http.get(f"/v1/ops/up/versions/{quote(selector, safe=':')}"), 404, "VersionNotFound")
        filled.assert_problem(http.pull("up", quote(selector)), 404, "VersionNotFound")
        response = http.post("/v1/links", {"upstream": f"up@{selector}", "downstream": "down"})
        filled.assert_problem(response, 404, "VersionNotFound")


def test_an_unknown_tag_is_tag_not_found(http: Http, filled: Watch) -> None:
    for tag in ("production", "v1", "a.b", "1a", "1-0", "1.0.0.0"):
        details = filled.assert_problem(http.get(f"/v1/ops/up/versions/{tag}"), 404, "TagNotFound")
        assert details == {"op": "up", "tag": tag, **({"similar": ["up@1"]} if tag == "v1" else {})}
        filled.assert_problem(http.pull("up", tag), 404, "TagNotFound")


def test_a_digest_prefix_of_several_blobs_is_refused_with_the_candidates(
    http: Http, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight digits that two contents share would take minutes to find, so here fewer digits are a prefix.
    monkeypatch.setattr(references, "_DIGEST", re.compile(r"[0-9a-f]{1,64}"))
    digests: dict[str, str] = {}
    for number in range(17):  # of 17 digests two begin with the same digit
        data = str(number).encode()
        http.push("up", data)
        digest = digest_of(data)
        if digest[7] in digests:
            break
        digests[digest[7]] = digest
    watch.mark()
    prefix = f"sha256:{digest[7]}"
    for response in (http.get(f"/v1/ops/up/versions/{prefix}"), http.pull("up", prefix)):
        details = watch.assert_problem(response, 400, "AmbiguousReference")
        assert details["candidates"] == ", ".join(sorted([digest, digests[digest[7]]]))


def test_invalid_subversions_are_refused(http: Http, watch: Watch) -> None:
    for version in ("abcd.abcd", "abc.abcd.abcd", "ABCD.abcd.abcd", "1.0.0", "", "abcd.abcd.\n", "ä"):
        watch.assert_problem(http.post("/v1/ops/up/versions", {"subversions": version}), 400, "InvalidSubversions")


def test_a_range_selects_the_newest_version_that_it_admits(http: Http) -> None:
    for major in ("1", "2"):
        http.register("up", a=major)
    for selector, number in ((">=1,<2", "1.0.0"), ("~=1.0", "1.0.0"), ("!=2.*", "1.0.0"), ("==2.*", "2.0.0")):
        assert http.get(f"/v1/ops/up/versions/{quote(selector)}").json()["version"] == number
