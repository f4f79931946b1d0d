"""What the commands write: for people, for scripts and as JSON, and that nothing a user wrote is interpreted."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from opstore_cli.config.settings import Settings
from opstore_cli.console.session import Session
from opstore_cli.main import main
from opstore_cli.output import document as output
from opstore_cli.output.cells import Cell, size_cell, time_cell
from opstore_cli.output.escaping import escape_controls, escape_stray_bytes
from opstore_cli.transfer.output_path import check_path_of
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import (
    EdgeVerdict,
    LinkRecord,
    OpRecord,
    OpVersion,
    PipelineRecord,
    Pushed,
    Resolution,
    SkippedVersion,
    Validation,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Reference

THEN = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32
HOSTILE = "a\x1b[31m[bold]red[/]\u202e:smile:\n"
HOSTILE_SHOWN = "a\\x1b[31m[bold]red[/]\\u202e:smile:\\n"

Triple = tuple[int, str, str]
Opstore = Callable[..., Triple]


def a_version(number: str = "1.0.0", **changes: Any) -> VersionRecord:
    return VersionRecord(**(_version_keys(number) | changes))


def a_push(created: bool) -> Pushed:
    return Pushed(**_version_keys("1.0.0"), created=created)


def _version_keys(number: str) -> dict[str, Any]:
    return {
        "op": "pca",
        "version": number,
        "subversions": "aaaa.bbbb.cccc",
        "sequence": 1,
        "digest": DIGEST,
        "size": 12345,
        "registered_at": THEN,
        "labels": {},
        "position": 7,
    }


def a_link(**changes: Any) -> LinkRecord:
    keys: dict[str, Any] = {
        "upstream": "pca",
        "upstream_version": "1.0.0",
        "downstream": "forest",
        "downstream_version": None,
        "valid": True,
        "state": "valid",
        "evidence": None,
        "position": 3,
        "registered_at": THEN,
    }
    return LinkRecord(**(keys | changes))


def a_validation(verdict: Any, pipeline: str | None = "churn", reason: str = "because") -> Validation:
    up, down = OpVersion(op="pca", version="1.0.0"), OpVersion(op="forest", version=None)
    edge = EdgeVerdict(upstream=up, downstream=down, verdict=verdict, reason=reason)
    return Validation(verdict=verdict, edges=(edge,), versions=(up, down), pipeline=pipeline)


PASSED = (SkippedVersion(op="pca", version="1.1.0", reason="not validated"),)
NONE_LEFT = Versions(op="pca", versions=(), skipped=PASSED, verdict="invalid")
NONE_KNOWN = Versions(op="pca", versions=(), skipped=PASSED, verdict="unknown")


class FakeClient:
    """Answers each verb with what it was told to, and remembers what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, list[tuple[Any, ...]]()

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def answer(*args: Any, **options: Any) -> Any:
            self.asked.append((verb, *args, options))
            given = self.answers[verb]
            if isinstance(given, Exception):
                raise given
            return given

        return answer


class FakePull:
    """A version whose bytes go nowhere."""

    def __init__(self, record: VersionRecord) -> None:
        self.record = record

    def to_stream(self, _output: BinaryIO) -> None: ...

    def to_path(self, target: Path, overwrite: bool) -> None:
        check_path_of(self.record, target, overwrite)


def a_pull() -> "nullcontext[FakePull]":
    """A pull that can be entered again."""
    return nullcontext(FakePull(a_version()))


class FakeSession(Session):
    """A session whose client is a fake."""

    fake: FakeClient

    def settings(self) -> Settings:
        return Settings(home=Path("home"))

    def client(self, settings: Settings | None = None) -> Any:
        return self.fake


@pytest.fixture
def opstore(capsys: pytest.CaptureFixture[str]) -> Opstore:
    """Runs a command line in this process: exit code, stdout and stderr. Keyword arguments are the client's answers."""

    def run(*words: str, **answers: Any) -> Triple:
        session = FakeSession()
        session.fake = FakeClient(answers)
        code = main(words, session)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if stdout and stderr were a terminal of 100 columns, without colour."""
    monkeypatch.setattr(output, "_is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")


# --- foreign text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, [bold]markup[/] and C:\\paths", "plain words, [bold]markup[/] and C:\\paths"),
        ("Grüße 世界 👩‍🔬", "Grüße 世界 👩‍🔬"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("a\tb\r\nc", "a\\tb\\r\\nc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u200bzero\u00adwidth\ufeff", "\\u200bzero\\xadwidth\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\U000e0041", "\\U000e0041"),
        (os.fsdecode(b"f\xff"), "f\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, expected: str) -> None:
    assert escape_controls(text) == expected


def test_escaped_text_contains_no_control_character() -> None:
    every = "".join(chr(code) for code in range(0x3000))
    assert not {
        char
        for char in escape_controls(every)
        if char < " " or "\x7f" <= char <= "\x9f" or "\u202a" <= char <= "\u202e"
    }


def test_a_file_name_that_is_not_utf8_is_escaped_in_json() -> None:
    assert escape_stray_bytes(os.fsdecode(b"f\xff")) == "f\\udcff"


def test_user_text_is_escaped_off_a_terminal(opstore: Opstore) -> None:
    link = a_link(evidence=HOSTILE)
    line = f"pca@1.0.0\tforest\tvalid\t2024-05-06T07:08:09Z\t{HOSTILE_SHOWN}\n"
    assert opstore("links", links=[link]) == (0, line, "")


@pytest.mark.usefixtures("terminal")
def test_user_text_is_escaped_on_a_terminal(opstore: Opstore) -> None:
    code, out, err = opstore("links", links=[a_link(evidence=HOSTILE)])
    assert (code, err) == (0, "")
    assert HOSTILE_SHOWN in out
    assert "\x1b" not in out


def test_details_of_errors_are_escaped(opstore: Opstore) -> None:
    error = errors.StorageFailed(reason=HOSTILE)
    said = f"error: the bytes could not be stored or read: {HOSTILE_SHOWN}\n"
    assert opstore("ops", ops=error) == (9, "", said)
    assert opstore("ops", "-v", ops=error) == (9, "", f"{said}  reason: {HOSTILE_SHOWN}\n")


def test_json_contains_user_text_unchanged(opstore: Opstore) -> None:
    code, out, err = opstore("links", "--json", links=[a_link(evidence=HOSTILE)])
    assert (code, json.loads(out)["links"][0]["evidence"], err) == (0, HOSTILE, "")


# --- cells ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "pretty"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12345, "12.3 kB"),
        (123456, "123 kB"),
        (999_500, "1.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (2**63 - 1, "9223 PB"),
    ],
)
def test_sizes_are_exact_for_programs_and_rounded_for_people(count: int, pretty: str) -> None:
    assert size_cell(count) == Cell(str(count), pretty)


@pytest.mark.parametrize(
    ("ago", "pretty"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=29), "29 days ago"),
        (timedelta(days=31), "2024-05-06"),
        (timedelta(seconds=-5), "2024-05-06T07:08:09Z"),
    ],
)
def test_times_are_exact_for_programs_and_relative_for_people(ago: timedelta, pretty: str) -> None:
    assert time_cell(THEN, THEN + ago) == Cell("2024-05-06T07:08:09Z", pretty)


# --- each command, off a terminal, with -q and with --json ----------------------------------------------------------


def test_push_prints_the_reference_and_nothing_else(opstore: Opstore, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    assert opstore("push", "pca", str(file), push=a_push(True)) == (0, "pca@1.0.0\n", "")
    said = "nothing new: pca@1.0.0 has these bytes already\n"
    assert opstore("push", "pca", str(file), push=a_push(False)) == (0, "pca@1.0.0\n", said)
    assert opstore("push", "-q", "pca", str(file), push=a_push(False)) == (0, "pca@1.0.0\n", "")


def test_push_with_json_prints_the_version_and_whether_it_was_created(opstore: Opstore, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    code, out, _ = opstore("--json", "push", "pca", str(file), push=a_push(False))
    document = json.loads(out)
    promised = {
        "op",
        "version",
        "subversions",
        "sequence",
        "digest",
        "size",
        "registered_at",
        "labels",
        "tags",
        "yanked",
    }
    assert (code, document["created"], promised - set(document)) == (0, False, set())
    assert document["registered_at"] == "2024-05-06T07:08:09Z"


def test_push_passes_all_options_to_the_client(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.touch()
    session = FakeSession()
    session.fake = FakeClient({"push": a_push(True)})
    words = ["--field", "major:a=b=c", "--field", "minor:d=", "--label", "who=me", "-m", "why", "--new"]
    words += ["--valid-for", "forest", "--valid-with", "scaler@1", "--tag", "dev"]
    assert main(["push", "pca", str(file), *words], session) == 0
    options = {
        "new": True,
        "fields": {"major": {"a": "b=c"}, "minor": {"d": ""}},
        "bump": None,
        "subversions": None,
        "valid_for": (Reference.parse("forest"),),
        "valid_with": (Reference.parse("scaler@1"),),
        "labels": {"who": "me"},
        "message": "why",
        "tags": ("dev",),
    }
    [(verb, op, source, given)] = session.fake.asked
    assert (verb, op, source.path, given) == ("push", "pca", file, options)


def test_register_prints_the_reference(opstore: Opstore) -> None:
    words = ("register", "pca", "--subversions", "aaaa.bbbb.cccc")
    assert opstore(*words, register=a_push(True)) == (0, "pca@1.0.0\n", "")
    assert opstore(*words, register=a_push(False)) == (
        0,
        "pca@1.0.0\n",
        "nothing new: pca@1.0.0 is registered already\n",
    )


def test_versions_off_a_terminal_are_tab_separated_lines(opstore: Opstore) -> None:
    registered = a_version("1.0.1", digest=None, size=None, message="two\nlines", tags=("a", "b"))
    found = Versions(op="pca", versions=(registered, a_version()))
    rows = (
        "pca@1.0.1\t2024-05-06T07:08:09Z\t-\t-\ta, b\ttwo\\nlines\n"
        f"pca@1.0.0\t2024-05-06T07:08:09Z\t12345\t{DIGEST}\t-\t-\n"
    )
    assert opstore("versions", "pca", versions=found) == (0, rows, "")
    assert opstore("versions", "pca", "-q", versions=found) == (0, "pca@1.0.1\npca@1.0.0\n", "")


@pytest.mark.usefixtures("terminal")
def test_versions_on_a_terminal_are_a_table(opstore: Opstore) -> None:
    found = Versions(op="pca", versions=(a_version(yanked=True, message="one\ntwo"),))
    table = (
        "VERSION             REGISTERED     SIZE  DIGEST        TAGS  MESSAGE\n"
        "pca@1.0.0 (yanked)  2024-05-06  12.3 kB  abababababab        one\n"
    )
    assert opstore("versions", "pca", versions=found) == (0, table, "")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [60, 70, 80])
def test_a_narrow_terminal_wraps_cells_without_losing_text(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = opstore("links", links=[a_link(evidence="q" * 100)])
    assert (code, out.count("q"), "pca@1.0.0" in out) == (0, 100, True)
    assert max(len(line) for line in out.splitlines()) <= width


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", range(40, 120))
def test_tables_of_every_width_keep_all_words_and_identifiers(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    reason = "pca 2.0.0 is not validated for random_forest 1.2.0; last validated: 1.2.0 for random_forest 1.2.0"
    found = a_validation("invalid", reason=reason)
    told = opstore("validate", "churn", validate_pipeline=found)[1]
    words = " ".join(told.split()).replace(" ", "")
    for word in {*reason.split(), "->"}:
        assert word in words
    links = [a_link(upstream="random_forest", downstream="random_forest_of_may", evidence="as evaluation 17 says")]
    lines = opstore("links", links=links)[1].split()
    assert {"random_forest@1.0.0", "random_forest_of_may", "evaluation"} <= set(lines)


@pytest.mark.usefixtures("terminal")
def test_numbers_are_right_aligned(opstore: Opstore) -> None:
    ops = [OpRecord(name="pca", latest="1.0.0", versions=count, compat="major") for count in (2, 12345)]
    table = "OP   LATEST  VERSIONS  COMPAT\npca  1.0.0          2  major\npca  1.0.0      12345  major\n"
    assert opstore("ops", ops=ops) == (0, table, "")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_too_narrow_for_a_table_gets_one_line_per_cell(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    link = "upstream   pca@1.0.0\ndownstream forest\nverdict    ✓ valid\nsince      2024-05-06\n"
    evidence = "evidence   " + "q" * 100 + "\n"
    found = [a_link(), a_link(evidence="q" * 100)]
    assert opstore("links", links=found) == (0, f"{link}\n{link}{evidence}", "")


@pytest.mark.usefixtures("terminal")
def test_colour_is_off_with_no_color_and_on_a_dumb_terminal(opstore: Opstore, monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*words: str) -> str:
        return opstore("validate", "churn", *words, validate_pipeline=a_validation("invalid"))[1]

    assert "\x1b" not in verdict()
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31m✗ invalid" in verdict()
    assert "\x1b" not in verdict("--no-color")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in verdict()
    assert "✗ invalid" in verdict()


def test_ops_are_listed_and_op_set_confirms_the_compatibility_level(opstore: Opstore) -> None:
    op = OpRecord(name="pca", latest=None, versions=0, compat="minor")
    assert opstore("ops", ops=[op]) == (0, "pca\t-\t0\tminor\n", "")
    assert opstore("ops", "-q", ops=[op]) == (0, "pca\n", "")
    document = '{"ops":[{"name":"pca","latest":null,"versions":0,"compat":"minor"}]}\n'
    assert opstore("ops", "--json", ops=[op]) == (0, document, "")
    assert opstore("ops", ops=[]) == (0, "", "")
    assert opstore("op", "set", "pca", "--compat", "minor", set_compat=op) == (
        0,
        "pca has the compatibility minor\n",
        "",
    )


def test_show_prints_one_key_and_value_per_line(opstore: Opstore) -> None:
    version = a_version(labels={"b": "2", "a": "1\t1"}, message="one\ntwo\x1b", note="2019")
    lines = (
        "op\tpca\nversion\t1.0.0\nsubversions\taaaa.bbbb.cccc\nsequence\t1\n"
        f"digest\t{DIGEST}\nsize\t12345\nregistered_at\t2024-05-06T07:08:09Z\nyanked\tno\ntags\t-\n"
        "label\ta=1\\t1\nlabel\tb=2\nmessage\tone\n\ttwo\\x1b\nnote\t2019\n"
    )
    assert opstore("show", "pca", show=version) == (0, lines, "")
    assert opstore("show", "pca", "-q", show=version) == (0, "pca@1.0.0\n", "")


def test_link_and_unlink_print_a_sentence_and_links_prints_rows(opstore: Opstore) -> None:
    to_version = a_link(downstream_version="2.0.0", valid=False)
    assert opstore("link", "pca@1.0.0", "forest", link=a_link()) == (0, "pca@1.0.0 is valid for forest\n", "")
    words = ("link", "pca@1.0.0", "forest@2.0.0", "--invalid")
    assert opstore(*words, link=to_version) == (0, "pca@1.0.0 is not valid for forest@2.0.0\n", "")
    assert opstore("unlink", "pca@1.0.0", "forest", unlink=a_link()) == (
        0,
        "revoked: pca@1.0.0 is valid for forest\n",
        "",
    )
    assert opstore("links", "-q", links=[to_version, a_link()]) == (
        0,
        "pca@1.0.0 forest@2.0.0\npca@1.0.0 forest\n",
        "",
    )


@pytest.mark.parametrize(
    ("verdict", "words", "code"),
    [
        ("valid", (), 0),
        ("invalid", (), 1),
        ("unknown", (), 3),
        ("unknown", ("--allow-unknown",), 0),
        ("invalid", ("--allow-unknown",), 1),
    ],
)
def test_the_verdict_decides_the_exit_code(opstore: Opstore, verdict: str, words: tuple[str, ...], code: int) -> None:
    validation = a_validation(verdict)
    said = {"unknown": "not known to be valid"}.get(verdict, verdict)
    assert opstore("validate", "churn", *words, validate_pipeline=validation) == (
        code,
        f"pca@1.0.0 -> forest\t{verdict}\tbecause\n",
        f"the pipeline churn is {said}\n",
    )
    assert opstore("validate", "churn", "-q", *words, validate_pipeline=validation) == (code, f"{verdict}\n", "")
    got, out, err = opstore("validate", "churn", "--json", *words, validate_pipeline=validation)
    assert (got, json.loads(out)["verdict"], err) == (code, verdict, "")


def test_validate_prints_the_verdict_of_one_edge(opstore: Opstore) -> None:
    validation = a_validation("valid", pipeline=None)
    assert opstore("validate", "pca", "forest", validate=validation) == (0, "pca@1.0.0 -> forest\tvalid\tbecause\n", "")


def test_the_pipeline_commands_print_their_results(opstore: Opstore) -> None:
    pipeline = PipelineRecord(
        position=1,
        name="churn",
        ops=("pca", "forest", "alone"),
        edges=(("pca", "forest"),),
        registered_at=THEN,
        created=True,
    )
    assert opstore("pipeline", "register", "churn", "pca", register_pipeline=pipeline) == (0, "churn\n", "")
    assert opstore("pipeline", "list", pipelines=[pipeline]) == (
        0,
        "churn\tpca, forest, alone\t1\t2024-05-06T07:08:09Z\n",
        "",
    )
    assert opstore("pipeline", "show", "churn", pipeline=pipeline) == (0, "pca\tforest\nalone\t-\n", "")
    assert opstore("pipeline", "show", "churn", "-q", pipeline=pipeline) == (0, "pca\nforest\nalone\n", "")
    assert opstore("pipeline", "remove", "churn", remove_pipeline=None) == (0, "", "removed the pipeline churn\n")
    assert opstore("pipeline", "remove", "churn", "--json", remove_pipeline=None)[1] == '{"removed":"churn"}\n'


# --- where nothing is left ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "code"), [(NONE_LEFT, 1), (NONE_KNOWN, 3)])
@pytest.mark.parametrize("command", ["pull", "versions"])
def test_an_empty_selection_is_explained_and_exits_with_the_verdict(
    opstore: Opstore, command: str, left: Versions, code: int
) -> None:
    error = (errors.NothingValid if code == 1 else errors.NothingKnown)(op="pca", downstream="forest")
    said = f"skipped pca@1.1.0: not validated\nerror: {error.text}\nhint: {error.advice}\n"
    assert opstore(command, "pca", "--valid-for", "forest", versions=left) == (code, "", said)


@pytest.mark.parametrize(("left", "code"), [(NONE_LEFT, 1), (NONE_KNOWN, 3)])
def test_an_empty_selection_is_a_document_with_json(opstore: Opstore, left: Versions, code: int) -> None:
    passed = {"op": "pca", "version": "1.1.0", "reason": "not validated"}
    got, out, err = opstore("pull", "pca", "--valid-for", "forest", "--json", versions=left)
    assert (got, err) == (code, "")
    assert json.loads(out) == {"pulled": [], "verdict": left.verdict, "skipped": [passed]}
    got, out, err = opstore("versions", "pca", "--valid-for", "forest", "--json", versions=left)
    assert (got, err) == (code, "")
    assert {key: json.loads(out)[key] for key in ("op", "versions")} == {"op": "pca", "versions": []}


def a_resolution(verdict: Any, *versions: VersionRecord) -> Resolution:
    return Resolution(
        pipeline="churn",
        verdict=verdict,
        versions=versions,
        edges=(("pca", "forest"),),
        skipped=(),
        conflict=() if versions else a_validation(verdict).edges,
        position=1,
    )


def test_pull_of_an_unresolvable_pipeline_fails_with_its_verdict(opstore: Opstore) -> None:
    said = (
        "pca@1.0.0 -> forest: unknown: because\n"
        "error: can't resolve churn: some edges have never been validated\n"
        "hint: opstore validate churn\n"
    )
    assert opstore("pull", "pca", "--pipeline", "churn", resolve=a_resolution("unknown")) == (3, "", said)
    code, out, err = opstore("pull", "pca", "--pipeline", "churn", "--json", resolve=a_resolution("invalid"))
    assert (code, json.loads(out)["pulled"], err) == (1, [], "")


def test_pull_of_an_op_outside_the_pipeline_is_a_usage_error(opstore: Opstore) -> None:
    said = "error: scaler is not an op of the pipeline churn\nhint: opstore pull --help\n"
    words = ("pull", "scaler", "--pipeline", "churn")
    assert opstore(*words, resolve=a_resolution("valid", a_version())) == (2, "", said)


# --- pull -----------------------------------------------------------------------------------------------------------


def test_pull_prints_the_path(opstore: Opstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opstore("pull", "pca@1.0.0", start_pull=a_pull()) == (0, "pca-1.0.0\n", "")
    code, out, err = opstore("--json", "pull", "pca", "-o", "x", start_pull=a_pull())
    document = json.loads(out)
    assert (code, document["path"], document["version"], err) == (0, "x", "1.0.0", "")


def test_pull_names_the_newer_versions_that_it_skipped(opstore: Opstore, tmp_path: Path) -> None:
    found = Versions(op="pca", versions=(a_version(),), skipped=PASSED)
    path = str(tmp_path / "x")
    assert opstore("pull", "pca", "--valid-for", "forest", "-o", path, versions=found, start_pull=a_pull()) == (
        0,
        f"{path}\n",
        "skipped pca@1.1.0: not validated\n",
    )


def test_pull_overwrites_only_with_f(opstore: Opstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pca-1.0.0").touch()
    said = "error: pca-1.0.0 exists already\nhint: give another path with -o, or -f to overwrite it\n"
    assert opstore("pull", "pca", start_pull=a_pull()) == (5, "", said)
    assert opstore("pull", "pca", "-o", "pca-1.0.0") == (5, "", said)
    assert opstore("pull", "pca", "-f", start_pull=a_pull()) == (0, "pca-1.0.0\n", "")
    folder = "error: .: it is a folder\n"
    assert opstore("pull", "pca", "-f", "-o", ".") == (2, "", folder)


def test_pull_writes_to_a_device_without_replacing_it(opstore: Opstore) -> None:
    words = ("pull", "pca", "-o", os.devnull)
    assert opstore(*words, start_pull=a_pull()) == (0, f"{os.devnull}\n", "")
    assert Path(os.devnull).is_char_device()


def test_pull_to_standard_output_prints_no_path(opstore: Opstore) -> None:
    assert opstore("pull", "pca", "-o", "-", start_pull=a_pull()) == (0, "", "")


# --- the error boundary ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in errors.all_errors() if kind.message == errors.OpStoreError.message])
def test_every_error_exits_with_its_code(opstore: Opstore, kind: type[errors.OpStoreError]) -> None:
    assert opstore("ops", ops=kind(reason="so")) == (kind.exit_code, "", "error: so\n")


def test_an_error_has_a_message_and_a_hint(opstore: Opstore) -> None:
    error = errors.OpNotFound(op="pca")
    assert opstore("show", "pca", show=error) == (4, "", "error: there is no op pca\nhint: opstore ops\n")
    code, out, err = opstore("show", "pca", "--json", show=error)
    assert (code, out, json.loads(err)) == (
        4,
        "",
        {
            "error": {
                "code": "OpNotFound",
                "message": "there is no op pca",
                "details": {"op": "pca"},
                "hint": "opstore ops",
            }
        },
    )


def test_an_internal_error_exits_70_with_a_reference(opstore: Opstore) -> None:
    code, out, err = opstore("ops", ops=ValueError("odd\x1b"))
    lines = err.splitlines()
    assert (code, out, len(lines)) == (70, "", 2)
    assert lines[0].startswith("error: an internal error, with the reference ")
    assert lines[0].endswith(": ValueError: odd\\x1b")
    assert lines[1] == "hint: run the command again with -v, and report the output"


def test_an_internal_error_shows_its_traceback_with_v(opstore: Opstore) -> None:
    code, _, err = opstore("ops", "-v", ops=ValueError("odd\x1b"))
    assert (code, err.splitlines()[0], "\x1b" in err) == (70, "Traceback (most recent call last):", False)
    code, _, err = opstore("ops", "-v", "--json", ops=ValueError("odd"))
    assert (code, set(json.loads(err)["error"]["details"])) == (70, {"reference", "traceback"})


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_ctrl_c_exits_130_and_a_broken_pipe_141(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, said: str
) -> None:
    class Interrupted(FakeSession):
        def client(self, settings: Settings | None = None) -> Any:
            raise raised

    assert (main(["ops"], Interrupted()), *capsys.readouterr()) == (code, "", said)


def test_notes_and_warnings_are_json_lines_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(json=True)
    out.note("a\x1b")
    out.warn("b")
    assert [json.loads(line) for line in capsys.readouterr().err.splitlines()] == [{"note": "a\x1b"}, {"warning": "b"}]


def test_a_failing_stderr_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as unwritable:
        monkeypatch.setattr(sys, "stderr", unwritable)
        output.Output().warn("nobody reads this")


# --- the bar --------------------------------------------------------------------------------------------------------

_TRANSFER = """
from opstore_cli.output import document, progress
progress.SHOW_AFTER = {seconds}
out = document.Output()
with out.progress("pull pca[/]"):
    for done in range(3):
        out.moved(done, 2)
print("done")
"""


def on_a_terminal(code: str, **environment: str) -> str:
    """What a program writes to a terminal of its own."""
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environment}
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return seen.decode()


@pytest.mark.skipif(os.name != "posix", reason="pty is of POSIX systems")
def test_a_long_transfer_shows_a_bar_on_a_terminal() -> None:
    assert "pull pca[/]" in on_a_terminal(_TRANSFER.format(seconds=0))
    assert on_a_terminal(_TRANSFER.format(seconds=60)) == "done\r\n"
    assert on_a_terminal(_TRANSFER.format(seconds=0), TERM="dumb") == "done\r\n"


def test_no_bar_is_shown_off_a_terminal() -> None:
    ran = subprocess.run([sys.executable, "-c", _TRANSFER.format(seconds=0)], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"done" + os.linesep.encode(), b"")
