"""Runs over HTTP: their output is text that nobody interprets, and what is no run is refused."""

import json
from typing import Any

import pytest

from opstore_daemon.protocol.limits import MAX_OUTPUT
from tests.support.http_client import Http
from tests.support.refusals import Watch

RUN: dict[str, Any] = {
    "edges": [["pca", "forest"]],
    "versions": ["pca@1.0.0", "forest@1.0.0"],
    "command": ["python", "eval.py"],
    "result": "passed",
    "reason": "exit code 0",
    "duration": 1.5,
    "output_digest": f"sha256:{0:064}",
    "output_size": 0,
}
PATH = "/v1/pipelines/churn/runs"


@pytest.fixture
def churn(http: Http) -> Http:
    """Return a client of a daemon with a pipeline of two ops with a version each."""
    http.push("pca", b"one")
    http.push("forest", b"two")
    http.post("/v1/pipelines", {"name": "churn", "ops": ["pca", "forest"]})
    return http


def test_the_output_of_a_run_is_plain_text(churn: Http) -> None:
    output = "<script>alert(1)</script>\0\x1b]0;title\x07\N{SNOWMAN}\r\n"
    position = churn.post(PATH, {**RUN, "output": output}).json()["run"]["position"]
    answer = churn.get(f"/v1/runs/{position}/output")
    assert answer.content == output.encode()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_no_run_is_not_found(churn: Http, watch: Watch) -> None:
    for run in ("0", "1", "99", "01", "-1", "1.0", "latest", "٣", "9" * 18, "9" * 30):
        for rest in ("", "/output"):
            watch.assert_problem(churn.get(f"/v1/runs/{run}{rest}"), 404, "RunNotFound")


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"output": "x" * (MAX_OUTPUT + 1)}, f"at most {MAX_OUTPUT} characters - at `$.output`"),
    ({"command": []}, "at `$.command`"),
    ({"command": ["a\0b"]}, "a text without null characters - at `$.command[0]`"),
    ({"command": "pytest"}, "at `$.command`"),
    ({"result": "valid"}, "at `$.result`"),
    ({"duration": -1}, "at `$.duration`"),
    ({"duration": 1e300}, "at `$.duration`"),
    ({"repeat": 0}, "at `$.repeat`"),
    ({"commit": "main"}, "at `$.commit`"),
    ({"reason": ""}, "at `$.reason`"),
    ({"exit_code": 2**40}, "at `$.exit_code`"),
    ({"edges": [["pca"]]}, "at `$.edges[0]`"),
    ({"newer": 1}, "unknown field `newer`"),
    ({"versions": []}, "no version of pca"),
]


def test_a_malformed_run_is_refused(churn: Http, watch: Watch) -> None:
    for change, reason in MALFORMED:
        answer = churn.post(PATH, {**RUN, **change})
        watch.assert_problem(answer, 400, "InvalidRequest")
        assert reason in answer.json()["details"]["reason"], change
    assert churn.get("/v1/runs").json()["runs"] == []


def test_broken_unicode_is_refused(churn: Http, watch: Watch) -> None:
    headers = {"Content-Type": "application/json"}
    escaped = json.dumps({**RUN, "output": "\ud800"}).encode()
    for body in (escaped, json.dumps({**RUN, "output": "x!"}).encode().replace(b"!", b"\xff")):
        watch.assert_problem(churn.ask("POST", PATH, data=body, headers=headers), 400, "InvalidRequest")


def test_a_result_is_one_of_three_words(churn: Http, watch: Watch) -> None:
    answer = churn.get("/v1/runs?result=valid")
    watch.assert_problem(answer, 400, "InvalidRequest")
    words = "'result' has to be one of failed, passed, unknown, not 'valid'"
    assert answer.json()["details"]["reason"] == f"the query parameter {words}"
