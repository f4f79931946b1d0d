"""The command line itself: help, usage errors, streams and what is imported. None of it needs a daemon."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from opstore_cli.commands.pipeline import read_graph
from opstore_cli.console.application import COMMANDS, cli
from opstore_cli.console.command import GlobalOption
from opstore_cli.console.options import as_of_option
from opstore_cli.console.session import Session
from opstore_cli.main import main
from opstore_daemon.protocol import errors

RUN = "from opstore_cli.main import run; run()"

REGISTER = "pipeline register"

Triple = tuple[int, str, str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without settings, whose home is empty and where no daemon starts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "XDG_"))}
    home = {"OPSTORE_HOME": str(tmp_path / "home"), "OPSTORE_NO_AUTOSTART": "1", "HOME": str(tmp_path)}
    return {**kept, **home, "XDG_CONFIG_HOME": str(tmp_path)}


def opstore(environment: dict[str, str], *words: str, **options: Any) -> Triple:
    """Runs the real program: exit code, stdout and stderr."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    ran = subprocess.run([sys.executable, "-c", RUN, *words], env=environment, text=True, timeout=60, **options)
    return ran.returncode, ran.stdout or "", ran.stderr or ""


def in_process(capsys: pytest.CaptureFixture[str], *words: str) -> Triple:
    """Runs a command line that ends before a client is made."""

    class NoDaemon(Session):
        def client(self, settings: Any = None) -> Any:
            pytest.fail("a usage error has to be found before a daemon is looked for")

    return (main(words, NoDaemon()), *capsys.readouterr())


def every_command(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_command(child, (*path, name))


def command_at(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_of_every_command_has_examples(
    capsys: pytest.CaptureFixture[str], path: tuple[str, ...], option: str
) -> None:
    code, out, err = in_process(capsys, *path, option)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: {' '.join(('opstore', *path))} ")
    assert "\n  Examples:\n    " in out


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_every_command_has_the_global_options_and_redefines_none(path: tuple[str, ...]) -> None:
    options = [option for option in command_at(path).params if isinstance(option, click.Option)]
    taken = [name for option in options for name in option.opts]
    shared = {name for option in options if isinstance(option, GlobalOption) for name in option.opts}
    assert shared == {"--url", "--json", "-q", "--quiet", "-v", "--verbose", "--no-color"}
    assert sorted(taken) == sorted(set(taken))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_table_matches_the_commands(name: str) -> None:
    command = command_at((name,))
    assert command.name == name
    assert command.help is not None
    assert re.match(re.escape(COMMANDS[name][1]) + r"(\s|$)", re.sub(r"\s+", " ", command.help))


@pytest.mark.parametrize("path", list(every_command()), ids=" ".join)
def test_the_examples_in_the_help_parse(monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]) -> None:
    import shlex

    text = command_at(path).help or ""
    examples = [line.strip() for line in text.split("Examples:")[1].splitlines() if line.strip()]
    for example in examples:
        words = shlex.split(re.split(r" [<>|]|\|\|", example)[0])
        words = words[words.index("opstore") + 1 :]
        command, rest = cli, words
        while isinstance(command, click.Group):
            command, rest = command_at((*words[: len(words) - len(rest)], rest[0])), rest[1:]  # type: ignore[assignment]
        # Files of examples are not there: all else has to be understood.
        for param in command.params:
            if isinstance(param.type, click.Path):
                monkeypatch.setattr(param.type, "exists", False)
        with command.make_context(words[0], list(rest), obj=Session()):
            pass


def test_garbage_collection_is_rare_and_skipped_at_exit(environment: dict[str, str]) -> None:
    told = "print(gc.get_threshold()[0] > 10_000, gc.get_freeze_count() > 10_000)"
    code = f"import atexit, gc; atexit.register(lambda: {told}); "
    ran = subprocess.run(
        [sys.executable, "-c", code + RUN, "--version"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[1:] == ["True True"]


def test_the_version_is_printed(environment: dict[str, str]) -> None:
    assert opstore(environment, "--version") == (0, "opstore 0.1.0\n", "")


# --- usage errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message", "command"),
    [
        ("psh", "", ""),
        ("ops --nonsense", "", "ops"),
        ("push", "give NAME and FILE, or --all DIR", "push"),
        ("push pca", "give NAME and FILE, or --all DIR", "push"),
        ("push pca /nowhere/at/all", "", "push"),
        ("push --all . pca", "--all takes the names from the files: give no NAME and no FILE", "push"),
        ("push --all . --subversions a.b.c", "--subversions are of one op, and --all pushes several", "push"),
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
        ("pull pca -o - --json", "--json and -o - both want standard output: give a path", "pull"),
        ("pull", "", "pull"),
        ("pull pca forest", "several REFs are written into a folder: give it with -d", "pull"),
        ("pull pca forest -o out", "several REFs are written into a folder: give it with -d", "pull"),
        ("pull pca -o out -d out", "--output and --directory are mutually exclusive", "pull"),
        ("pull pca forest pca@1.0.0 -d out", "pca is given twice: both would be written to out/pca", "pull"),
        ("versions pca --latest --limit 2", "--latest and --limit are mutually exclusive", "versions"),
        ("versions pca --limit 0", "", "versions"),
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
    # Where the words are click's, they change with its releases.
    assert not message or document["message"] == message


@pytest.mark.parametrize("words", [("--json", "ops", "--nonsense"), ("ops", "--nonsense", "--json"), ("psh", "--json")])
def test_a_usage_error_is_json_with_json(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, err = in_process(capsys, *words)
    error = json.loads(err)["error"]
    assert (code, out, error["code"], set(error)) == (2, "", "Usage", {"code", "message", "details", "hint"})


def test_json_after_two_dashes_is_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "links", "a", "--", "--json")
    assert (code, out, err.startswith("error: ")) == (2, "", True)


def test_a_mistyped_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "verisons")
    assert (code, out) == (2, "")
    assert err.splitlines()[0].endswith("Did you mean versions?")


def test_a_group_without_a_subcommand_exits_2_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys, "pipeline")
    assert (code, out, err.startswith("Usage: opstore pipeline ")) == (2, "", True)


def test_the_program_without_arguments_prints_the_first_steps(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = in_process(capsys)
    assert (code, out) == (2, "")
    assert "What to do first:\n  opstore push pca pca.bin " in err
    assert max(map(len, err.splitlines())) <= 80
    for line in err.splitlines():
        if line.startswith("  opstore "):
            command = line.strip().partition("  ")[0].split()
            assert command[1].startswith("--") or command[1] in COMMANDS


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


# --- the file of a pipeline -----------------------------------------------------------------------------------------


def test_a_pipeline_file_has_ops_or_edges_or_both(tmp_path: Path) -> None:
    file = tmp_path / "churn.toml"
    file.write_text('ops = ["a", "b"]')
    assert read_graph(file) == (["a", "b"], None)
    file.write_text('ops = ["c"]\nedges = [["a", "b"]]')
    assert read_graph(file) == (["c"], [("a", "b")])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ops = 1",
        b"ops = [1]",
        b'edges = ["a"]',
        b'edges = [["a", "b", "c"]]',
        b'ops = ["a"]\nother = 1',
        b'ops = ["a"',
        b"\xff",
        b"ops = " + b"[" * 10000,
    ],
)
def test_an_invalid_pipeline_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "churn.toml"
    file.write_bytes(content)
    with pytest.raises(errors.FileRefused):
        read_graph(file)


# --- what is imported -----------------------------------------------------------------------------------------------

_LOADED = """
import sys
import time
from opstore_cli.console.command import Session
from opstore_cli.main import main
main({words!r}, Session())
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{{heavy}}}), file=sys.stderr)
print(sorted(name for name in sys.modules if name.startswith("opstore_cli.commands.")), file=sys.stderr)
"""


def loaded(environment: dict[str, str], *words: str) -> tuple[str, str]:
    heavy = "'flask', 'sqlalchemy', 'waitress', 'alembic', 'requests', 'rich', 'msgspec', 'urllib3', 'platformdirs'"
    code = _LOADED.format(words=list(words), heavy=heavy)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    packages, commands = ran.stderr.splitlines()[-2:]
    return packages, commands


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_the_main_help_imports_no_command_and_no_heavy_package(
    environment: dict[str, str], words: tuple[str, ...]
) -> None:
    assert loaded(environment, *words) == ("[]", "[]")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_only_that_command(environment: dict[str, str], name: str) -> None:
    module = COMMANDS[name][0]
    assert module.removesuffix("_") == f"opstore_cli.commands.{name}"
    assert loaded(environment, name, "--help") == ("[]", f"['{module}']")


def test_a_command_never_imports_the_server_packages(environment: dict[str, str]) -> None:
    code = "import sys\nimport opstore_cli.client.client\n" + "".join(
        f"import {module}\n" for module, _ in COMMANDS.values()
    )
    code += "print(sorted({'flask', 'sqlalchemy', 'waitress', 'alembic'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


# --- streams --------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="descriptors as POSIX has them")


def closing(*descriptors: int) -> Any:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


@posix
def test_a_broken_pipe_exits_141_without_a_message(environment: dict[str, str], tmp_path: Path) -> None:
    # The help is written by click, the status by us; either is seen only as the streams are flushed.
    for words in (["--help"], ["push", "--help"], ["status", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            assert opstore(environment, *words, stdout=writing, cwd=tmp_path) == (141, "", "")
        finally:
            os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_for_stdout_exits_9(environment: dict[str, str], tmp_path: Path) -> None:
    said = "error: standard output can't be written: No space left on device\n"
    with open("/dev/full", "wb") as full:
        assert opstore(environment, "--help", stdout=full, cwd=tmp_path) == (9, "", said)
        code, _, err = opstore(environment, "status", "--json", stdout=full, cwd=tmp_path)
        assert (code, json.loads(err)["error"]["code"]) == (9, "OutputFailed")


@posix
def test_closed_streams_cause_no_crash(environment: dict[str, str], tmp_path: Path) -> None:
    said = "error: no daemon runs for " + str(tmp_path / "home") + "\nhint: opstore start\n"
    none = {"stdin": None, "cwd": tmp_path}
    assert opstore(environment, "status", preexec_fn=closing(0), **none) == (7, "", said)
    assert opstore(environment, "status", preexec_fn=closing(0, 1), **none) == (7, "", said)
    assert opstore(environment, "status", preexec_fn=closing(0, 1, 2), **none) == (7, "", "")
    assert opstore(environment, "push", "pca", "-", preexec_fn=closing(0), **none) == (
        2,
        "",
        "error: standard input: it is closed\n",
    )
    closed = "error: standard output can't be written: it is closed\n"
    code, _, err = opstore(environment, "status", "--json", preexec_fn=closing(1), **none)
    assert (code, json.loads(err)["error"]["message"]) == (9, closed[7:-1])


@posix
def test_a_broken_stderr_does_not_change_the_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert opstore(environment, "status", stderr=writing, cwd=tmp_path) == (7, "", "")
    finally:
        os.close(writing)


def test_a_character_that_stdout_cannot_encode_is_escaped(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "ü"
    ascii_only = {**environment, "OPSTORE_HOME": str(home), "PYTHONIOENCODING": "ascii"}
    code, out, _ = opstore(ascii_only, "status", "--json", cwd=tmp_path)
    assert (code, json.loads(out.replace("\\x", "\\u00"))["home"]) == (7, str(home))


# --- the daemon's program -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "executed"),
    [
        ("serve", "serve"),
        ("serve --host ::1 --port 0", "serve --host ::1 --port 0"),
        ("serve --db sqlite:///x --saver file:///y", "serve --db sqlite:///x --saver file:///y"),
        ("serve --allow-host a.example --allow-host b", "serve --allow-host a.example --allow-host b"),
        ("db current", "db current"),
        ("db upgrade --db sqlite:///x", "db upgrade --db sqlite:///x"),
    ],
)
def test_serve_and_db_execute_the_daemon_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, executed: str
) -> None:
    started = list[tuple[str, list[str]]]()
    monkeypatch.setattr(os, "execv", lambda path, words: started.append((path, words)))
    assert in_process(capsys, *line.split()) == (0, "", "")
    expected = [sys.executable, "-P", "-m", "opstore_daemon", *executed.split()]
    assert started == [(sys.executable, expected)]


def test_commands_that_need_a_daemon_hint_at_start(environment: dict[str, str], tmp_path: Path) -> None:
    said = f"error: no daemon runs for {tmp_path / 'home'}\nhint: opstore start\n"
    for line in ("ops", "links", "versions pca", "pull pca", "validate churn", "pipeline list", "status"):
        assert opstore(environment, *line.split(), cwd=tmp_path) == (7, "", said), line


def test_the_status_of_an_unreachable_url_is_not_running(environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = opstore(environment, "status", "--url", "http://127.0.0.1:9", "--json", cwd=tmp_path)
    document = json.loads(out)
    assert (code, document["running"], document["url"], err) == (7, False, "http://127.0.0.1:9", "")


def test_stop_without_a_daemon_succeeds(environment: dict[str, str], tmp_path: Path) -> None:
    said = f"no daemon runs for {tmp_path / 'home'}\n"
    assert opstore(environment, "stop", cwd=tmp_path) == (0, "", said)


@posix
def test_a_deleted_working_folder_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    said = "error: the working folder: it is gone, or can't be read\n"
    leave = {"cwd": folder, "preexec_fn": folder.rmdir}
    code, out, err = opstore({**environment, "PYTHONSAFEPATH": "1"}, "ops", **leave)
    assert (code, out, err) == (2, "", said)


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
        told = CliRunner().invoke(ask, ["--as-of", given])
    time.tzset()
    assert told.output == f"{asked}\n"
