"""Usage errors and options."""

import json
import os
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from opstore_cli.console.options import as_of_option
from opstore_cli.console.session import Session
from opstore_cli.main import main
from tests.cli.console.program import in_process, opstore

REGISTER = "pipeline register"


@pytest.mark.parametrize(
    ("line", "message", "command"),
    [
        ("xyzzy", "", ""),
        ("ops --nonsense", "", "ops"),
        ("push", "give NAME and FILE, NAME and --from-command CMD, or --all DIR", "push"),
        ("push pca", "give NAME and FILE, NAME and --from-command CMD, or --all DIR", "push"),
        ("push pca /nowhere/at/all", "", "push"),
        ("push --all . pca", "--all takes the names from the files: omit NAME and FILE", "push"),
        ("push --all . --subversions a.b.c", "--subversions applies to one op, and --all pushes several", "push"),
        ("push --all . --bump minor --field major:a=b", "--bump and --field are mutually exclusive", "push"),
        ("push --all /nowhere/at/all", "", "push"),
        ("push pca - --bump huge", "", "push"),
        ("push pca - --bump minor --subversions a.b.c", "--bump and --subversions are mutually exclusive", "push"),
        ("push pca - --bump minor --field major:a=b", "--bump and --field are mutually exclusive", "push"),
        ("push pca - --field a=b", "", "push"),
        ("push pca - --field huge:a=b", "", "push"),
        ("push pca - --field major:=b", "", "push"),
        ("push pca - --field major:a", "", "push"),
        ("push pca - --field major:a=1 --field major:a=1", "", "push"),
        ("push pca - --label a", "", "push"),
        ("push pca - --label a=1 --label a=2", "", "push"),
        ("register pca", "--field or --subversions is needed: there are no bytes to make the version from", "register"),
        (
            "register pca --field major:a=b --subversions a.b.c",
            "--field and --subversions are mutually exclusive",
            "register",
        ),
        ("pull pca --valid-for a --pipeline b", "--valid-for and --pipeline are mutually exclusive", "pull"),
        ("pull pca -o - --json", "--json and -o - both write to standard output; pass a path to -o", "pull"),
        ("pull", "", "pull"),
        ("pull pca forest", "several REFs need a folder: pass it with -d", "pull"),
        ("pull pca forest -o out", "several REFs need a folder: pass it with -d", "pull"),
        ("pull pca -o out -d out", "--output and --directory are mutually exclusive", "pull"),
        ("pull pca forest pca@1.0.0 -d out", "pca is given twice: both would be written to out/pca", "pull"),
        ("versions pca --latest --limit 2", "--latest and --limit are mutually exclusive", "versions"),
        ("versions pca --limit 0", "--limit: 0 is too small: it must be at least 1", "versions"),
        ("versions pca --limit", "--limit needs a value", "versions"),
        ("versions", "give NAME", "versions"),
        ("link pca", "give DOWN[@SEL]", "link"),
        ("yank pca", "give --reason TEXT", "yank"),
        ("ops pca", "unexpected argument: pca", "ops"),
        ("completion sh", "SHELL: 'sh' is not one of 'bash', 'zsh', 'fish'", "completion"),
        ("validate", "give a pipeline, or an upstream and a downstream version", "validate"),
        ("validate a b c", "give one pipeline, or one upstream and one downstream version", "validate"),
        ("validate a@1.0.0", "a@1.0.0 is one version: give the downstream op or version too", "validate"),
        ("op set pca", "", "op set"),
        ("op set pca --compat patch", "", "op set"),
        ("pipeline register churn", "give the ops of the pipeline in order, --edge or --file", REGISTER),
        ("pipeline register churn --edge a", "", "pipeline register"),
        ("pipeline register churn --edge :a", "", "pipeline register"),
        ("serve --port 65536", "", "serve"),
    ],
)  # fmt: skip
def test_a_usage_error_exits_2_with_a_hint_to_the_help(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    message: str,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    hint = f"{' '.join(['opstore', *command.split()])} --help"
    code, out, err = in_process(capsys, *line.split())
    assert (code, out, err.count("error")) == (2, "", 1)
    if "--json" in line:
        document = json.loads(err)["error"]
    else:
        said, _, advice = err.partition("\n")
        document = {"message": said.removeprefix("error: "), "hint": advice.strip().removeprefix("hint: ")}
    assert document["hint"] == hint
    # Messages of click change with its releases.
    assert not message or document["message"] == message


def test_a_mistyped_option_is_answered_with_the_one_that_may_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for words, option in (("ops --jsn", "--jsn"), ("--jsn ops", "--jsn")):
        said = f"error: there is no option {option}\nhint: did you mean --json?\n"
        assert in_process(capsys, *words.split()) == (2, "", said)


@pytest.mark.parametrize("words", [("--json", "ops", "--nonsense"), ("ops", "--nonsense", "--json"), ("psh", "--json")])
def test_a_usage_error_is_json_with_json(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, err = in_process(capsys, *words)
    error = json.loads(err)["error"]
    assert (code, out, error["code"], set(error)) == (2, "", "Usage", {"code", "message", "details", "hint"})


def test_json_after_two_dashes_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "links", "a", "--", "--json")
    assert (code, out, err.startswith("error: ")) == (2, "", True)


@pytest.mark.parametrize(
    "words",
    [
        ["{}"],
        ["pipeline", "{}"],
        ["--{}"],
        ["-{}"],
        ["ops", "--{}"],
        ["ops", "{}"],
        ["show", "pca", "{}"],
        ["push", "pca", "-", "--bump", "{}"],
        ["completion", "{}"],
        ["show", "{}"],
        ["versions", "pca", "--limit", "{}"],
        ["push", "pca", "/nowhere/{}"],
        ["--url", "{}", "ops"],
        ["pipeline", "register", "churn", "--file", "/nowhere/{}"],
        ["resolve", "--check", "/nowhere/{}"],
        ["resolve", "churn", "--lock", "/nowhere/{}/x"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_an_argument_that_is_not_utf_8_is_shown_in_one_form(
    capsys: pytest.CaptureFixture[str], words: list[str], form: list[str]
) -> None:
    given = [word.format(os.fsdecode(b"\xff")) for word in words]
    assert main([*form, *given], Session()) == 2
    out, err = capsys.readouterr()
    message = json.loads(err)["error"]["message"] if form else err
    assert (out, r"\xff" in message, "udc" in message) == ("", True, False)


@pytest.mark.parametrize("words", [["push", "pca", "/{}"], ["pipeline", "register", "churn", "--file", "/{}"]])
@pytest.mark.parametrize(
    ("name", "shown"), [(b"\xff\x1b[1m", r"\xff\x1b[1m"), (b"a\\b\xff", r"a\b\xff"), (b"it's\xff", r"it's\xff")]
)
def test_a_path_that_does_not_exist_is_shown_as_it_was_given(
    capsys: pytest.CaptureFixture[str], words: list[str], name: bytes, shown: str
) -> None:
    assert main([word.format(os.fsdecode(name)) for word in words], Session()) == 2
    assert f"'/{shown}' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--json",), ("pipeline", "--json"), ("--json", "pipeline")])
def test_a_missing_command_is_an_error_in_json(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, err = in_process(capsys, *words)
    error = json.loads(err)["error"]
    assert (code, out, error["code"], len(error["message"]) < 40) == (2, "", "Usage", True)


def test_an_invalid_name_is_refused_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "push", "RandomForest", "-")
    assert (code, out, err.splitlines()[-1]) == (2, "", "hint: use random_forest")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("pull pca@", "InvalidReference"),
        ("show PCA", "InvalidName"),
        ("link pca@01.0.0 forest", "InvalidVersion"),
        ("validate churn --use pca@_", "InvalidReference"),
        ("versions pca --valid-for x@>=", "InvalidReference"),
        ("pipeline register churn a B", "InvalidName"),
        ("pipeline register churn --edge a:B", "InvalidName"),
    ],
)
def test_references_are_checked_before_the_daemon_is_located(
    capsys: pytest.CaptureFixture[str], line: str, code: str
) -> None:
    got, out, err = in_process(capsys, *line.split(), "--json")
    assert (got, out, json.loads(err)["error"]["code"]) == (2, "", code)


@pytest.mark.slow
def test_global_options_work_before_and_after_the_command(environment: dict[str, str], tmp_path: Path) -> None:
    silent = {"running": False, "url": None, "pid": None, "version": None, "home": str(tmp_path / "home")}
    for words in (("--json", "status"), ("status", "--json")):
        code, out, err = opstore(environment, *words, cwd=tmp_path)
        document = json.loads(out)
        assert (code, {key: document[key] for key in silent}, err) == (7, silent, "")


def test_the_last_value_of_a_repeated_option_wins(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    assert main(["--url", "http://one", "-q", "pipeline", "--url", "http://two", "list", "-h"], session) == 0
    assert (session.url, session.out.quiet) == ("http://two", True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("2026-03-01T12:00:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01", "2026-02-28T22:00:00Z"),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00Z"),
        ("20260301", "20260301"),
    ],
)
def test_a_time_without_an_offset_is_local(monkeypatch: pytest.MonkeyPatch, given: str, asked: str) -> None:
    @click.command()
    @as_of_option
    def ask(as_of: str) -> None:
        click.echo(as_of)

    with monkeypatch.context() as patched:
        patched.setenv("TZ", "EET-2")  # two hours east
        time.tzset()
        result = CliRunner().invoke(ask, ["--as-of", given])
    time.tzset()
    assert result.output == f"{asked}\n"


@pytest.mark.parametrize("line", ["start", "stop", "restart", "serve", "db current", "db upgrade", "logs", "token"])
def test_a_command_for_the_local_daemon_refuses_a_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("a daemon was executed"))
    code, out, err = in_process(capsys, "--url", "https://models.example.com", *line.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: this command does not use --url")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["ops --as-of 5", "log --author ana", "status --all", "links --op pca"])
def test_an_option_without_a_similar_one_gets_the_hint_to_the_help(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    code, _, err = in_process(capsys, *line.split())
    assert (code, err.splitlines()[1:]) == (2, [f"hint: opstore {line.split()[0]} --help"])
