"""`opstore bisect` on the history of examples/bisect: what it runs, prints and exits with."""

import json
import runpy
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_json import promised
from tests.support.machines import Machine, a_machine
from tests.support.markdown import ROOT
from tests.support.waiting import WITHIN, wait_for

EXAMPLE = ROOT / "examples" / "bisect"
BISECT = ("bisect", "reviews", "--good", "release.lock")
BAD_END = "hint: --bad takes a position or a time at which the command fails\n"
SET = ("tokenizer@1.0.7", "vocabulary@1.0.7", "embedding@1.0.7", "classifier@1.0.7", "threshold@1.0.7")
STEPS = """\
59 changes left, about 7 runs: testing position 69 (classifier@1.0.12 stored)
position 69: failed (run 70: exit code 1)
59 changes left, about 6 runs: testing position 40 (threshold@1.0.6 stored)
position 40: passed (run 71: exit code 0)
29 changes left, about 5 runs: testing position 55 (threshold@1.0.9 stored)
position 55: failed (run 76: exit code 1)
15 changes left, about 4 runs: testing position 48 (embedding@1.0.8 stored)
position 48: failed (run 77: exit code 1)
8 changes left, about 3 runs: testing position 44 (classifier@1.0.7 stored)
position 44: passed (run 78: exit code 0)
4 changes left, about 2 runs: testing position 46 (tokenizer@1.0.8 stored)
position 46: failed (run 83: exit code 1)
2 changes left, about 1 run: testing position 45 (threshold@1.0.7 stored)
position 45: passed (run 84: exit code 0)
"""
REUSED = """\
position 69 (classifier@1.0.12 stored): failed (earlier run 70: exit code 1)
position 45 (threshold@1.0.7 stored): passed (earlier run 84: exit code 0)
position 46 (tokenizer@1.0.8 stored): failed (earlier run 83: exit code 1)
"""
ADVICE = f"""\
to get the last good versions: opstore pull {" ".join(SET)} -d DIR
to retire it: opstore yank tokenizer@1.0.8 --reason TEXT
to see what to retrain with it: opstore affected tokenizer@1.0.8
"""
ANSWER = """\
culprit	tokenizer@1.0.8
first_bad	46
change	tokenizer@1.0.8 stored
registered_at	TIME
author	ana
text	the new release of the library
last_good	45
good_version	tokenizer@1.0.7
good_version	vocabulary@1.0.7
good_version	embedding@1.0.7
good_version	classifier@1.0.7
good_version	threshold@1.0.7
runs_made	{made}
runs_reused	{reused}
"""


EVALUATE = ("--run", sys.executable, "evaluate.py")


def shell(script: str) -> tuple[str, ...]:
    """Return the option that runs a script of the shell, which starts sooner than Python."""
    return "--run", "sh", "-c", script


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a machine with the history of the example, and its first bisection in the file `first.json`."""
    with a_machine(tmp_path_factory.mktemp("reviews") / "machine", in_process=True) as machine:
        machine.do("start")
        machine.file("evaluate.py", (EXAMPLE / "evaluate.py").read_bytes())
        with machine.client() as client:
            runpy.run_path(str(EXAMPLE / "history.py"))["fill"](client, machine.cwd / "release.lock")
        machine.file("first.json", json.dumps(machine.run(*BISECT, *EVALUATE)))
        yield machine


@pytest.mark.slow
def test_the_first_bisection_runs_seven_times_and_the_second_one_not_at_all(reviews: Machine) -> None:
    difference = reviews.run("diff", "tokenizer@1.0.7", "tokenizer@1.0.8")[1]
    once = tuple(json.loads((reviews.cwd / "first.json").read_text()))
    assert once == (0, ANSWER.format(made=7, reused=0) + difference, STEPS + ADVICE)

    again = reviews.run(*BISECT, *EVALUATE)
    assert again == (0, ANSWER.format(made=0, reused=7) + difference, REUSED + ADVICE)
    assert reviews.run(*BISECT, "-q", *EVALUATE) == (0, "tokenizer@1.0.8\n", "")


@pytest.mark.slow
def test_the_last_good_versions_are_pulled_by_the_command_that_it_prints_or_by_a_lock(reviews: Machine) -> None:
    code, _, err = reviews.run(*BISECT, "--lock", "good.lock", *EVALUATE)
    assert code == 0, err
    line = next(line for line in err.splitlines() if line.startswith("to get the last good versions: "))
    reviews.do(*shlex.split(line.partition(": opstore ")[2].replace("DIR", "by-command")))
    reviews.do("pull", "--lock", "good.lock", "-d", "by-lock")
    data = reviews.raw("pull", "tokenizer@1.0.7", "-o", "-")[1]
    assert (reviews.cwd / "by-command" / "tokenizer").read_bytes() == data
    assert (reviews.cwd / "by-lock" / "tokenizer").read_bytes() == data


def test_json_has_the_answer_and_how_it_was_found(reviews: Machine) -> None:
    code, document, error = reviews.documents(*reviews.run("--json", *BISECT, *EVALUATE))
    assert (code, error) == (0, None)
    assert promised("`bisect`") <= set(document)
    culprit = document["culprit"]
    assert promised("`culprit` and an element of `suspects` of `bisect`") <= set(culprit)
    assert (culprit["op"], culprit["version"], culprit["position"]) == ("tokenizer", "1.0.8", document["first_bad"])
    assert document["suspects"] == [culprit]
    assert [f"{each['op']}@{each['version']}" for each in document["last_good_versions"]] == list(SET)
    assert (document["runs_made"], document["runs_reused"], len(document["runs"])) == (0, 7, 7)
    assert document["diff"]["other"]["version"] == "1.0.8"


@pytest.mark.slow
def test_on_a_terminal_the_answer_is_two_tables(reviews: Machine) -> None:
    code, shown = reviews.on_a_terminal(*BISECT, *EVALUATE, columns=80, env={"NO_COLOR": "1"})
    assert code == 0, shown
    assert "\nculprit       tokenizer@1.0.8\n" in shown
    assert "\nWHAT        tokenizer@1.0.7 " in shown
    lines = [line for line in shown.splitlines() if "opstore pull" not in line]  # a command to copy is not broken
    assert max(map(len, lines)) <= 80


def test_a_bad_end_that_passes_is_exit_1(reviews: Machine) -> None:
    code, out, err = reviews.run(*BISECT, "--bad", "45", *EVALUATE)
    said = "error: there is nothing to find: reviews passed at the bad end, position 45 (run 84)\n"
    assert (code, out, err) == (1, "", f"{REUSED.splitlines()[1]}\n{said}{BAD_END}")
    code, document, error = reviews.documents(*reviews.run("--json", *BISECT, "--bad", "45", *EVALUATE))
    assert (code, error) == (1, None)
    assert promised("`bisect` without an answer") <= set(document)
    assert (document["culprit"], document["suspects"], document["bad"], document["run"]) == (None, [], 45, 84)
    assert (document["runs_made"], document["runs_reused"]) == (0, 3)


def test_a_bad_end_that_can_not_be_tested_is_exit_3(reviews: Machine) -> None:
    code, out, err = reviews.run(*BISECT, *shell("exit 125"))
    assert (code, out) == (3, "")
    assert "error: can't tell whether reviews is broken at the bad end, position " in err


@pytest.mark.slow
def test_suspects_are_listed_and_exit_3(reviews: Machine) -> None:
    week = 'case $(cat "$OPSTORE_OP_CLASSIFIER") in *1.08*|*1.09*) exit 125;; *1.1*) exit 1;; esac'
    code, out, err = reviews.run(*BISECT, "-q", *shell(week))
    assert code == 3, err
    versions = out.splitlines()
    assert (versions[0], versions[-1]) == ("classifier@1.0.7", "classifier@1.0.9")
    code, out, err = reviews.run(*BISECT, *shell(week))
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 3
    assert rows[0] == ["suspect", "position 44: classifier@1.0.7 stored"]
    assert all(key != "culprit" for key, *_ in rows)


@pytest.mark.slow
def test_an_answer_that_rests_on_the_good_end_alone_is_marked(reviews: Machine) -> None:
    """A command that is wrong fails everywhere."""
    code, out, err = reviews.run(*BISECT, *shell("no_such_program"))
    assert code == 0
    assert "change\ttokenizer@1.0.1 stored\n" in out
    assert "warning: the last good set is the good end, which was not tested." in err
    check = err.partition("the answer is wrong: opstore ")[2].splitlines()[0]
    assert reviews.run(*shlex.split(check))[0] == 1
    code, out, err = reviews.run(*BISECT, *shell("no_such_program"))
    assert (code, out) == (2, "")
    assert "the command failed at the good end already" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--good", "1", *EVALUATE), "there is no version of"),
        (("--good", "69", "--bad", "69", *EVALUATE), "no latest version of its ops changed"),
        (("--good", "no.lock", *EVALUATE), "'no.lock' is neither a lock file that exists nor a position"),
        (("--good", "evaluate.py", *EVALUATE), "evaluate.py: it is not a lock"),
        (("--good", "release.lock"), "give the command: --run CMD after all other options"),
        (EVALUATE, "give --good LOCK|TIME|POSITION"),
        (("--good", "release.lock", "--run", "./no-such-command"), "no-such-command"),
        (("--good", "release.lock", "--lock", "evaluate.py", *EVALUATE), "it is not a lock, so it is not replaced"),
    ],
)
def test_wrong_usage_runs_nothing(reviews: Machine, options: tuple[str, ...], message: str) -> None:
    code, out, err = reviews.run("bisect", "reviews", *options)
    assert (code, out) == (2, ""), err
    assert message in err
    assert "testing position" not in err


@pytest.mark.slow
def test_an_interrupted_bisection_resumes_with_the_same_command(reviews: Machine) -> None:
    script = "printf . >>count; case $(cat count) in .) exit 1;; ...) sleep 60;; esac"
    process = reviews.begin(*BISECT, *shell(script))
    count: Path = reviews.cwd / "count"
    wait_for(lambda: count.exists() and count.read_text() == "...", "the third run")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WITHIN)
    assert process.returncode == 130
    assert b"2 runs of this bisection are recorded\n" in err
    assert b"resume it with: opstore bisect reviews --good release.lock --run " in err
    code, out, said = reviews.run(*BISECT, *shell(script))
    assert code == 0, said
    assert "runs_reused\t2\n" in out
