"""The errors: class hierarchy, texts, exit codes, and their encoding over HTTP."""

import errno
import os
import pickle
import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.errors import OpStoreError, all_errors, from_wire
from opstore_daemon.protocol.records import Problem, decode, encode
from tests.support.for_each import for_each

ALL = list(all_errors())
FAMILIES = OpStoreError.__subclasses__()
LEAVES = [error for error in ALL if not error.__subclasses__() and error is not OpStoreError]
# Section 6 of the contract.
EXIT_CODES = {
    "AnswerIsNo": 1,
    "Refused": 2,
    "NotFound": 4,
    "Conflict": 5,
    "IntegrityFailure": 6,
    "Unreachable": 7,
    "NotAuthorised": 8,
    "Unavailable": 9,
    "BudgetExceeded": 10,
    "InternalError": 70,
}
UNKNOWN_VERDICT = 3


def fields(template: str) -> set[str]:
    """Return the names of the template's placeholders."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def details_of(error: type[OpStoreError]) -> dict[str, Any]:
    """Return details that can be recognized in the text."""
    return {name: f"<{name}: {{x}} %s é>" for name in sorted(fields(error.message) | fields(error.hint))}


def example(error: type[OpStoreError]) -> OpStoreError:
    return error(**details_of(error))


def family_of(error: type[OpStoreError]) -> type[OpStoreError]:
    return next(family for family in FAMILIES if issubclass(error, family))


# --- texts ------------------------------------------------------------------------------------------------------


@for_each("error", LEAVES)
def test_the_text_of_an_error_contains_its_details(error: type[OpStoreError]) -> None:
    made = example(error)
    for name in fields(error.message):
        value = made.details[name]
        assert value in made.text or repr(value) in made.text
    for name in fields(error.hint):
        assert made.details[name] in made.advice
    assert str(made) == made.text
    assert made.text.strip() == made.text != ""


@for_each("error", LEAVES)
def test_every_error_has_its_own_message(error: type[OpStoreError]) -> None:
    assert error.message != OpStoreError.message
    assert error.message not in [other.message for other in LEAVES if other is not error]


@for_each("error", LEAVES)
def test_the_placeholders_of_the_templates_are_identifiers(error: type[OpStoreError]) -> None:
    for name in fields(error.message) | fields(error.hint):
        assert name.isidentifier()


def test_a_missing_detail_raises_key_error() -> None:
    with pytest.raises(KeyError):
        errors.OpNotFound()


@pytest.mark.parametrize(
    ("error", "text", "advice"),
    [
        (errors.OpNotFound(op="pca"), "there is no op pca", "opstore ops"),
        (
            errors.NothingKnown(op="pca", downstream="rf"),
            "no version of pca was ever validated for rf",
            "when one is validated: opstore link pca@VERSION DOWN@VERSION",
        ),
        (errors.InvalidVersion(text="1.\n", rule="R"), "'1.\\n' is not a version: R", ""),
        (errors.LengthRequired(), "the request needs a Content-Length", ""),
    ],
)
def test_text_and_advice_are_the_filled_in_templates(error: OpStoreError, text: str, advice: str) -> None:
    assert (error.text, error.advice) == (text, advice)


# --- the tree ---------------------------------------------------------------------------------------------------


def documented_tree() -> Iterator[tuple[str, int, str]]:
    """Yield (family, exit code, rest of its lines) of the tree in the docstring."""
    assert errors.__doc__ is not None
    tree = errors.__doc__.split("OpStoreError\n")[1].split("\n\n")[0]
    for branch in re.split(r"[├└]── ", tree)[1:]:
        match = re.match(r"(\w+)\s+exit (\d+)(.*)", branch, re.DOTALL)
        assert match is not None, branch
        yield match[1], int(match[2]), match[3]


def test_the_tree_in_the_docstring_lists_every_error_under_its_family() -> None:
    shown = {family: re.findall(r"\b[A-Z]\w+", rest) for family, _, rest in documented_tree()}
    there = {family.__name__: [error.__name__ for error in all_errors(family)][1:] for family in FAMILIES}
    assert {family: sorted(leaves) for family, leaves in shown.items()} == {
        family: sorted(leaves) for family, leaves in there.items()
    }


def test_the_tree_in_the_docstring_shows_the_exit_codes_of_the_contract() -> None:
    assert {family: code for family, code, _ in documented_tree()} == EXIT_CODES


def test_every_error_is_listed_once_after_its_family() -> None:
    assert ALL[0] is OpStoreError
    assert len(set(ALL)) == len(ALL) == len({error.__name__ for error in ALL})
    assert {error.__name__ for error in ALL} == {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)
    }


# --- codes ------------------------------------------------------------------------------------------------------


def test_the_exit_codes_of_the_families_are_those_of_the_contract() -> None:
    assert {family.__name__: family.exit_code for family in FAMILIES} == EXIT_CODES


@for_each("error", LEAVES)
def test_a_leaf_has_the_exit_code_of_its_family(error: type[OpStoreError]) -> None:
    is_unknown = error in (errors.NothingKnown, errors.NoSetKnown, errors.BadEndUntested)
    expected = UNKNOWN_VERDICT if is_unknown else EXIT_CODES[family_of(error).__name__]
    assert error.exit_code == expected


def test_only_a_negative_result_exits_1_or_3() -> None:
    for error in ALL:
        if error.exit_code in (1, UNKNOWN_VERDICT):
            assert issubclass(error, errors.AnswerIsNo)


@for_each("error", ALL)
def test_client_errors_are_4xx_and_daemon_errors_5xx(error: type[OpStoreError]) -> None:
    theirs = (errors.Refused, errors.AnswerIsNo, errors.NotFound, errors.Conflict, errors.NotAuthorised)
    ours = (errors.Unreachable, errors.Unavailable, errors.InternalError)
    if issubclass(error, theirs):
        assert 400 <= error.status < 500
    elif issubclass(error, ours):
        assert 500 <= error.status < 600


# --- encoding ---------------------------------------------------------------------------------------------------


@for_each("error", LEAVES)
def test_an_error_keeps_its_class_and_text_over_the_wire(error: type[OpStoreError]) -> None:
    sent = example(error)
    body = encode(
        Problem(
            title=sent.code,
            status=sent.status,
            detail=sent.text,
            code=sent.code,
            hint=sent.advice,
            details=sent.details,
        )
    )
    problem = decode(body, Problem)
    came = from_wire(problem.code, problem.status, problem.detail, problem.hint, problem.details)
    assert type(came) is error
    assert (came.text, came.advice, came.details) == (sent.text, sent.advice, sent.details)
    assert (came.code, came.status, came.exit_code) == (error.__name__, error.status, error.exit_code)
    assert str(came) == str(sent)


def test_the_text_of_the_daemon_is_used_even_if_the_local_template_differs() -> None:
    came = from_wire("OpNotFound", 404, "es gibt keinen Op {op}", "frag {hint}", {"other": 1})
    assert type(came) is errors.OpNotFound
    assert (came.text, came.advice, came.details) == ("es gibt keinen Op {op}", "frag {hint}", {"other": 1})


def test_advice_and_details_default_to_empty() -> None:
    came = from_wire("StorageFull", 507, "full")
    assert (came.advice, came.details) == ("", {})


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, errors.Refused),
        (405, errors.Refused),
        (413, errors.Refused),
        (418, errors.Refused),
        (499, errors.Refused),
        (401, errors.NotAuthorised),
        (403, errors.NotAuthorised),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.IntegrityFailure),
        (500, errors.InternalError),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (507, errors.Unavailable),
    ],
)
def test_an_unknown_error_code_becomes_the_family_of_its_status(status: int, family: type[OpStoreError]) -> None:
    came = from_wire("ErrorOfANewerDaemon", status, "the words", "the advice", {"a": 1})
    assert type(came) is family
    assert (came.text, came.advice, came.details) == ("the words", "the advice", {"a": 1})


@pytest.mark.parametrize("code", ["", "Exception", "SystemExit", "__class__", "opnotfound", "ALL"])
def test_only_a_known_error_code_selects_a_class(code: str) -> None:
    assert type(from_wire(code, 404, "text")) is errors.NotFound


# --- pickling ---------------------------------------------------------------------------------------------------


@for_each("error", LEAVES)
def test_an_error_can_be_pickled(error: type[OpStoreError]) -> None:
    for made in (example(error), from_wire(error.__name__, error.status, "other words", "other advice", {"a": 1})):
        twin = pickle.loads(pickle.dumps(made))  # noqa: S301
        assert type(twin) is error
        assert (twin.text, twin.advice, twin.details) == (made.text, made.advice, made.details)
        assert str(twin) == str(made)
        made.set_notes(["what to do"])
        made.python = "pass another path"
        twin = pickle.loads(pickle.dumps(made))  # noqa: S301
        assert (twin.__notes__, twin.python) == (["what to do"], "pass another path")
        twin.set_notes(["something else"])
        assert twin.__notes__ == ["something else"]


# --- other exceptions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOENT, "No such file or directory", "a"), "No such file or directory"),
        (OSError("no number"), "no number"),
        (ValueError("no OSError"), "no OSError"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_is_the_message_of_the_operating_system_or_else_the_text(error: Exception, expected: str) -> None:
    assert errors.reason(error) == expected


def test_translated_raises_our_error_with_the_reason_and_the_cause() -> None:
    with pytest.raises(errors.OutputFailed) as raised, errors.translated(OSError, to=errors.OutputFailed, path="x"):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert raised.value.details == {"path": "x", "reason": "No such file or directory"}
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_translated_lets_other_errors_through() -> None:
    with pytest.raises(KeyError), errors.translated(OSError, to=errors.OutputFailed, path="x"):
        raise KeyError("x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_a_write_is_a_storage_error(number: int) -> None:
    failure = OSError(number, os.strerror(number))
    with (
        pytest.raises(errors.OutputFailed, match=f"x can't be written: {os.strerror(number)}"),
        errors.translated_writes("x", to=errors.InvalidSetting, setting="s"),
    ):
        raise failure


def test_any_other_failure_of_a_write_is_the_given_error() -> None:
    with (
        pytest.raises(errors.InvalidSetting, match="s: Permission denied"),
        errors.translated_writes("x", to=errors.InvalidSetting, setting="s"),
    ):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
