"""The verdict on a set as a whole: the newest run of exactly these versions decides."""

import pytest

from opstore_daemon.protocol.records import RunRecord, RunResult
from opstore_daemon.protocol.records.runs import MAX_REASON_SHOWN
from opstore_daemon.rules.exact_set import exact_set
from tests.support.runs import a_run

ESCAPES = ("sh", "-c", "printf '\x1b[31mred\n'\u202e")


def test_a_set_that_passed_is_valid() -> None:
    found = exact_set(a_run(command=("pytest", "-q", "a b")))
    assert (found.verdict, found.basis) == ("valid", "run")
    assert found.reason == "run 45 passed with exactly these versions on 2024-05-06: pytest -q 'a b'"
    assert found


def test_a_set_that_failed_is_invalid_and_the_reason_says_why() -> None:
    found = exact_set(a_run(result="failed", reason="exit code 1"))
    assert (found.verdict, found.basis) == ("invalid", "run-failed")
    assert found.reason == "run 45 failed with exactly these versions on 2024-05-06: pytest -q (exit code 1)"
    assert not found


def test_a_set_that_never_ran_is_unknown_however_valid_its_pairs_are() -> None:
    found = exact_set(None)
    assert (found.verdict, found.basis) == ("unknown", "not-run")
    assert found.reason == "no run says whether exactly these versions work together"
    assert not found


@pytest.mark.parametrize("run", [None, a_run()])
def test_a_set_without_a_version_of_an_op_never_ran(run: RunRecord | None) -> None:
    found = exact_set(run, ["forest", "svm"])
    assert (found.verdict, found.basis, found.reason) == ("unknown", "not-run", "forest has no version")


@pytest.mark.parametrize("result", ["passed", "failed"])
def test_the_reason_is_one_short_line_whatever_the_command_and_its_author_say(result: RunResult) -> None:
    run = a_run(command=(*ESCAPES, "x" * 16384), result=result, reason="\x1b[2J" + "y" * 4000)
    reason = exact_set(run).reason
    assert reason.isprintable()
    assert len(reason) < 200 + MAX_REASON_SHOWN


def test_a_command_of_many_long_words_is_cut_before_it_is_quoted() -> None:
    words = ["a" * 16384] * 1000
    assert len(exact_set(a_run(command=tuple(words))).reason) < 200
