"""The output of runs: in lists, beside the verdict of a pipeline, and what a run printed."""

import json
from types import SimpleNamespace
from typing import Any

import click
import msgspec
import pytest

from opstore_cli.console import completion
from opstore_cli.output.width import wrap
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.durations import format_duration
from opstore_daemon.protocol.records import (
    JournalEntry,
    OpVersion,
    RunRecord,
    Runs,
    SetVerdict,
    Validation,
    VersionDetails,
)
from tests.cli.output.fakes import Opstore, a_link, a_validation, a_version
from tests.support.runs import VERSIONS, WHEN, a_run

HOSTILE = ("sh", "-c", "printf '\x1b[31m[bold]\u202e'; exit 1\n", "x" * 16000)


def a_set(run: RunRecord | None, basis: str | None = None) -> Validation:
    """Return a valid pipeline with a run of its versions and, with a basis, the verdict on the set."""
    verdicts = {"run": "valid", "run-failed": "invalid", "not-run": "unknown"}
    whole = None
    if basis is not None:
        fields = {"verdict": verdicts[basis], "basis": basis, "reason": "as a whole"}
        whole = msgspec.convert(fields, SetVerdict)
    found = msgspec.structs.replace(a_validation("valid"), versions=VERSIONS, run=run, exact_set=whole)
    return msgspec.structs.replace(found, verdict="valid" if whole is None else whole.verdict)


# --- beside a verdict -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (a_run(), "run 45 passed with exactly these versions on 2024-05-06: pytest -q"),
        (
            a_run(result="failed", reason="exit code 1"),
            "run 45 failed with exactly these versions on 2024-05-06: pytest -q (exit code 1): "
            "opstore runs --output 45",
        ),
        (None, "no run says whether exactly these versions work together: opstore verify churn --run CMD"),
    ],
)
def test_validate_says_whether_exactly_these_versions_ran(opstore: Opstore, run: RunRecord | None, said: str) -> None:
    row, verdict = "pca@1.0.0 -> forest\tvalid\tlink\tbecause\n", "the pipeline churn is valid\n"
    assert opstore("validate", "churn", validate_pipeline=a_set(run)) == (0, row, f"{verdict}{said}\n")
    assert opstore("validate", "churn", "-q", validate_pipeline=a_set(run)) == (0, "valid\n", "")


def test_the_next_step_names_the_versions_that_were_used_and_a_past_state_has_none(opstore: Opstore) -> None:
    said = "no run says whether exactly these versions work together"
    words = ("validate", "churn", "--use", "pca@1.0.0")
    assert opstore(*words, validate_pipeline=a_set(None))[2].endswith(
        f"\n{said}: opstore verify churn --use pca@1.0.0 --run CMD\n"
    )
    ranged = opstore("validate", "churn", "--use", "pca@>=1,<2", validate_pipeline=a_set(None))[2]
    assert ranged.endswith(f"{said}: opstore verify churn --use 'pca@>=1,<2' --run CMD\n"), "a shell takes it as it is"
    assert opstore(*words, "--as-of", "7", validate_pipeline=a_set(None))[2].endswith(f"\n{said}\n")


def test_a_pipeline_with_an_op_without_versions_can_not_run(opstore: Opstore) -> None:
    said = "forest has no version, so the pipeline can't be run\n"
    assert opstore("validate", "churn", validate_pipeline=a_validation("unknown"))[2].endswith(said)


@pytest.mark.parametrize(
    ("basis", "code", "word"), [("run", 0, "valid"), ("run-failed", 1, "invalid"), ("not-run", 3, "unknown")]
)
def test_the_exact_set_is_a_row_and_counts_in_the_exit_code(opstore: Opstore, basis: str, code: int, word: str) -> None:
    found = a_set(None if basis == "not-run" else a_run(), basis)
    got, out, _ = opstore("validate", "churn", "--exact-set", validate_pipeline=found)
    assert (got, out.splitlines()[-1]) == (code, f"exactly these versions\t{word}\t{basis}\tas a whole")
    got, out, err = opstore("validate", "churn", "--exact-set", "--json", validate_pipeline=found)
    assert (got, json.loads(out)["exact_set"]["basis"], err) == (code, basis, "")
    unknown_is_fine = opstore("validate", "churn", "--exact-set", "--allow-unknown", validate_pipeline=found)
    assert unknown_is_fine[0] == (0 if code == 3 else code)


def test_only_a_pipeline_has_an_exact_set(opstore: Opstore) -> None:
    assert opstore("validate", "pca", "forest", "--exact-set") == (
        2,
        "",
        "error: --exact-set is for a pipeline: only all its versions together are run\nhint: opstore validate --help\n",
    )


def test_a_comment_in_markdown_says_whether_exactly_these_versions_ran(opstore: Opstore) -> None:
    def set_line(found: Validation) -> str:
        return opstore("validate", "churn", "--format", "markdown", validate_pipeline=found)[1].splitlines()[2]

    assert set_line(a_set(None)) == "No run says whether exactly these versions work together."
    assert set_line(a_set(a_run())) == "Run 45 passed with exactly these versions: `pytest -q`"
    assert set_line(a_set(a_run(), "run")) == "**Exactly these versions: ✅ valid** (run): `as a whole`"
    failed = set_line(a_set(a_run(result="failed", reason="exit code 1")))
    assert failed == "Run 45 failed with exactly these versions: `pytest -q` (`exit code 1`)"
    hostile = set_line(a_set(a_run(command=("`<b>`", "a|b", "\x1b[31m"))))
    assert hostile == "Run 45 passed with exactly these versions: ``'`<b>`' 'a``&#124;`b' '�[31m'`"


# --- lists ------------------------------------------------------------------------------------------------------


def test_runs_are_lines_with_exact_values_off_a_terminal(opstore: Opstore) -> None:
    line = "45\t2024-05-06T12:30:15Z\tpassed\tpytest -q\tpca@1.0.0 forest@2.0.0\t3.25\tAna <ana@example.org>\tchurn\n"
    assert opstore("runs", "churn", runs=[a_run()]) == (0, line, "")
    assert opstore("runs", "-q", runs=[a_run(position=46), a_run()]) == (0, "46\n45\n", "")
    code, out, err = opstore("runs", "--json", runs=[a_run()])
    assert (code, json.loads(out)["runs"][0]["command"], err) == (0, ["pytest", "-q"], "")
    assert opstore("runs", runs=[]) == (0, "", "")


@pytest.mark.usefixtures("terminal")
def test_runs_on_a_terminal_fit_its_width_whatever_the_command_is(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        code, out, err = opstore("runs", "churn", runs=[a_run(command=HOSTILE, result="failed", author="\x1b[2J" * 9)])
        assert (code, "\x1b" in out, "\u202e" in out, "45" in out, "✗ failed" in out) == (0, False, False, True, True)
        assert max(map(len, out.splitlines())) <= width, out
        assert err == "what a run printed: opstore runs --output 45\n"


@pytest.mark.usefixtures("terminal")
def test_an_empty_list_of_runs_says_which_and_how_to_record_one(opstore: Opstore) -> None:
    said = "no runs of churn with pca@1.0.0 with the result failed yet: opstore verify churn --run CMD\n"
    assert opstore("runs", "churn", "--result", "failed", "--reference", "pca@1.0.0", runs=[]) == (0, "", said)
    assert opstore("runs", runs=[]) == (0, "", "no runs yet: opstore verify PIPELINE --run CMD\n")


# --- what a run printed -----------------------------------------------------------------------------------------


FACTS = (
    "run 45 of churn passed: pytest -q (exit code 0, 3.2 s)\n"
    "its versions: pca@1.0.0 forest@2.0.0\n"
    "recorded at 2024-05-06T12:30:15Z by Ana <ana@example.org>\n"
)


def test_the_output_of_a_run_is_its_lines_with_control_characters_as_escapes(opstore: Opstore) -> None:
    text = "one\ttab\r\n\x1b[31mred\x1b[0m\n 10%\r100%\n\nlast\x00"
    printed = a_run(output_size=len(text))
    code, out, err = opstore("runs", "--output", "45", run=printed, run_output=text)
    assert (code, err) == (0, FACTS)
    assert out == "one\ttab\n\\x1b[31mred\\x1b[0m\n 10%\n100%\n\nlast\\x00\n"
    assert opstore("runs", "--output", "45", "-q", run=printed, run_output=text) == (0, out, "")
    code, out, _ = opstore("runs", "--output", "45", "--json", run=printed, run_output=text)
    assert (code, json.loads(out)["output"], json.loads(out)["position"]) == (0, text, 45)


def test_a_run_that_printed_nothing_says_so_and_one_that_was_cut_too(opstore: Opstore) -> None:
    nothing = opstore("runs", "--output", "45", run=a_run(output_size=0), run_output="")
    assert nothing == (0, "", f"run 45 printed nothing\n{FACTS}")
    cut = opstore("runs", "--output", "45", run=a_run(output_size=3_200_000_000), run_output="one\ntwo\n")
    assert cut == (0, "one\ntwo\n", f"run 45 printed 3.2 GB: its beginning and its end are kept\n{FACTS}")


def test_the_facts_below_the_output_are_escaped_and_short(opstore: Opstore) -> None:
    hostile = a_run(
        command=HOSTILE,
        repeat=3,
        author="\x1b[2JMallory",
        script=f"sha256:{'c' * 64}",
        script_path="a\nb.py",
        commit="1a2b3c4-dirty",
        ci_url="javascript:alert(1)\x07",
    )
    _, _, err = opstore("runs", "--output", "45", run=hostile, run_output="")
    lines = err.splitlines()
    assert "\x1b" not in err
    assert all(len(line) < 500 for line in lines)
    assert lines[1].endswith("(exit code 0, 3 times, 3.2 s)")
    assert lines[4:] == [f"script: a\\nb.py sha256:{'c' * 64}", "commit: 1a2b3c4-dirty", "CI: javascript:alert(1)\\x07"]


def test_the_number_of_a_run_in_place_of_a_pipeline_is_answered_with_the_command(opstore: Opstore) -> None:
    _, _, err = opstore("runs", "45", runs=errors.PipelineNotFound(pipeline="45"))
    assert err.splitlines()[-1] == "hint: to print what run 45 printed: opstore runs --output 45"
    _, _, err = opstore("runs", "chrun", runs=errors.PipelineNotFound(pipeline="chrun"))
    assert err.splitlines()[-1] == "hint: opstore pipeline list"


def test_the_output_is_that_of_one_run(opstore: Opstore) -> None:
    for words in (("churn",), ("--result", "failed"), ("--limit", "3"), ("--reference", "pca")):
        code, out, err = opstore("runs", *words, "--output", "45")
        assert (code, out, "--output" in err) == (2, "", True)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.021, "0.02 s"), (9.94, "9.9 s"), (59.6, "1 min 0 s"), (3725.0, "1 h 2 min")]
)
def test_the_duration_of_a_run_is_short_on_a_terminal(opstore: Opstore, seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


# --- where else runs are shown ----------------------------------------------------------------------------------


def test_the_command_that_prints_an_output_is_not_broken() -> None:
    text = "run 7 failed: opstore runs --output 7 says why"
    assert wrap(text, 24) == ["run 7 failed:", "opstore runs --output 7", "says why"]
    assert wrap("opstore runs commands on versions", 24) == ["opstore runs commands on", "versions"]


def test_show_has_a_line_for_each_run(opstore: Opstore) -> None:
    runs = (a_run(position=46, result="failed", command=HOSTILE[:3]), a_run())
    found = VersionDetails(version=a_version(), latest_of=(), upstreams=(), downstreams=(), runs=runs)
    lines = [line for line in opstore("show", "pca", details=found)[1].splitlines() if line.startswith("run\t")]
    assert lines == [
        "run\t46 failed 2024-05-06T12:30:15Z sh -c 'printf '\"'\"'\\x1b[31m[bold]\\u202e'\"'\"'; exit 1\\n'",
        "run\t45 passed 2024-05-06T12:30:15Z pytest -q",
    ]
    code, out, _ = opstore("show", "pca", "--json", details=found)
    assert (code, [run["position"] for run in json.loads(out)["runs"]]) == (0, [46, 45])


@pytest.mark.usefixtures("terminal")
def test_show_on_a_terminal_marks_the_result_of_a_run(opstore: Opstore) -> None:
    found = VersionDetails(version=a_version(), latest_of=(), upstreams=(), downstreams=(), runs=(a_run(),))
    assert "run          45 ✓ passed: pytest -q (2024-05-06)" in opstore("show", "pca", details=found)[1].splitlines()


def an_entry(position: int, action: str, *versions: OpVersion, text: str) -> JournalEntry:
    return JournalEntry(
        position=position, registered_at=WHEN, action=action, versions=versions, pipeline="churn", text=text
    )


ENTRIES = [
    an_entry(9, "bisected", VERSIONS[0], text="pytest -q: broken by position 5"),
    an_entry(8, "run failed", *VERSIONS, text="pytest -q: exit code 1"),
]


def test_log_has_runs_and_bisections(opstore: Opstore) -> None:
    when = "2024-05-06T12:30:15Z"
    rows = (
        f"9\t{when}\t-\tbisected\tchurn pca@1.0.0\tpytest -q: broken by position 5\n"
        f"8\t{when}\t-\trun failed\tchurn\tpytest -q: exit code 1\n"
    )
    assert opstore("log", log=ENTRIES) == (0, rows, "")


@pytest.mark.usefixtures("terminal")
def test_lists_on_a_terminal_say_how_to_read_what_a_run_printed(opstore: Opstore) -> None:
    code, out, err = opstore("log", log=ENTRIES)
    assert (code, err) == (0, "what a run printed: opstore runs --output 8\n")
    assert "pipeline churn, broken by pca@1.0.0" in out
    links = [a_link(position=50), a_link(run=45, evidence="run 45: pytest -q passed in 3.2 s")]
    code, out, err = opstore("links", links=links)
    assert (code, err) == (0, "what a run printed: opstore runs --output 45\n")
    assert "run 45: pytest -q passed" in out
    assert opstore("links", links=links[:1])[2] == ""


def test_the_number_of_a_run_is_completed_from_the_newest_ones() -> None:
    api: Any = SimpleNamespace(request=lambda *_, **__: Runs(runs=(a_run(position=46, result="failed"), a_run())))
    context = click.Context(click.Command("runs"))
    found = [(item.value, item.help) for item in completion.runs(api, context, "4")]
    assert found == [("46", "failed: pytest -q"), ("45", "passed: pytest -q")]
    assert [item.value for item in completion.runs(api, context, "45")] == ["45"]
