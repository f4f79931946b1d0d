"""Errors of users and scripts: invalid files, outputs, streams, texts and names."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from opstore_cli.console.application import cli
from opstore_cli.console.command import Command, GlobalOption
from opstore_daemon.protocol import errors
from tests.support import here
from tests.support.figures import few
from tests.support.for_each import for_each
from tests.support.machines import MIB, PROGRAM, STARTED, Machine, a_machine
from tests.support.open_files import closing
from tests.support.random_bytes import random_bytes
from tests.support.wire import Wire

posix = pytest.mark.skipif(os.name != "posix", reason="requires POSIX files and streams")


def assert_refused(machine: Machine, *words: str | bytes | Path, **options: Any) -> str:
    """Check that the command exits 2 with and without --json, and without a traceback; return the message."""
    if not options:
        return here.refused(machine, *words)
    code, out, err = machine.run(*words, **options)
    assert (code, out, "Traceback" in err) == (2, "", False), (words, err)
    code, document, error = machine.ask(*words, **options)
    assert (code, document, set(error)) == (2, None, {"code", "message", "details", "hint"}), words
    # Lone surrogates are invalid Unicode, which many JSON parsers refuse.
    json.dumps(error, ensure_ascii=False).encode()
    return str(error["message"])


# --- FILE -------------------------------------------------------------------------------------------------------------


def test_a_folder_as_a_pipeline_file_is_refused(stocked: Machine) -> None:
    folder = stocked.cwd / "folder"
    folder.mkdir(exist_ok=True)
    assert "folder" in assert_refused(stocked, "pipeline", "register", "refused", "--file", "folder")


def test_a_missing_file_is_refused(stocked: Machine) -> None:
    assert "nowhere" in assert_refused(stocked, "push", "refused", "nowhere")
    assert "nowhere" in assert_refused(stocked, "pipeline", "register", "refused", "--file", "nowhere")
    assert "refused" not in stocked.do("ops", "-q").split()


def without_privileges() -> list[str]:
    """Return the command prefix under which a program obeys file modes: empty, except for root."""
    if os.geteuid() != 0:
        return []
    words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("root may read everything here, and cannot shed that")
    return words


def test_an_unreadable_file_is_refused(stocked: Machine) -> None:
    program = [*without_privileges(), *PROGRAM]
    path = stocked.file("secret", "one")
    path.chmod(0)
    code, out, err = stocked.run("push", "refused", "secret", program=program)
    assert (code, out, err) == (
        2,
        "",
        "error: FILE: path 'secret' is not readable\nhint: opstore push --help\n",
    )
    assert "not readable" in assert_refused(stocked, "push", "refused", "secret", program=program)
    closed = stocked.cwd / "closed"
    closed.mkdir()
    stocked.file("closed/inside", "one")
    closed.chmod(0)
    assert_refused(stocked, "push", "refused", "closed/inside", program=program)
    closed.chmod(0o700)
    path.chmod(0o600)


@posix
def test_a_socket_is_refused(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        previous = os.getcwd()
        os.chdir(machine.cwd)  # the path of a socket must be short
        try:
            listening.bind("socket")
        finally:
            os.chdir(previous)
        machine.do("start")
        assert "socket: " in assert_refused(machine, "push", "refused", "socket")
        assert machine.do("ops") == ""


@pytest.mark.slow
def test_an_empty_file_a_device_and_a_pipe_can_be_pushed(machine: Machine) -> None:
    machine.file("empty", "")
    assert machine.run("push", "empty", "empty") == (
        0,
        "empty@1.0.0\n",
        STARTED + "warning: empty@1.0.0 is empty: it has 0 bytes\n",
    )
    said = "warning: nothing@1.0.0 is empty: it has 0 bytes\n"
    assert machine.run("push", "nothing", "/dev/null") == (0, "nothing@1.0.0\n", said)
    assert machine.run("push", "piped", "-", stdin=b"a pipe") == (0, "piped@1.0.0\n", "")
    assert machine.run("push", "piped", "/dev/stdin", stdin=b"another") == (0, "piped@1.0.1\n", "")
    assert [machine.raw("pull", op, "-o", "-")[1] for op in ("empty", "nothing", "piped")] == [b"", b"", b"another"]


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (lambda path: os.truncate(path, 100), "it became shorter while it was read"),
    "appended to": (lambda path: _append(path), "it changed while it was read"),
    "written into": (lambda path: _write_into(path), "it changed while it was read"),
}


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _write_into(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


@pytest.mark.parametrize("change", few(1, CHANGES))
def test_a_file_that_changes_while_it_is_read_is_refused(machine: Machine, wire: Wire, change: str) -> None:
    path = machine.file("changing", random_bytes(MIB) * 16)
    wire.stop_up = 4 * MIB
    process = machine.begin("push", "pca", "changing", env=wire.settings)
    assert wire.stopped.wait(60)
    how, reason = CHANGES[change]
    how(path)
    wire.resume()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.decode()) == (2, b"", f"error: changing: {reason}\n")
    assert machine.do("ops") == ""
    assert list((machine.home / "blobs" / "staging").iterdir()) == []


def test_a_file_that_is_replaced_while_it_is_read_is_pushed_with_its_old_bytes(machine: Machine, wire: Wire) -> None:
    content = random_bytes(MIB) * 16
    path = machine.file("replaced", content)
    wire.stop_up = 4 * MIB
    process = machine.begin("push", "pca", "replaced", env=wire.settings)
    assert wire.stopped.wait(60)
    machine.file("new", b"new").replace(path)
    wire.resume()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"pca@1.0.0\n", b"")
    machine.do("pull", "pca", "-o", "pulled")
    assert (machine.cwd / "pulled").read_bytes() == content


# --- the output -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@for_each(
    ("output", "code", "said"),
    [
        ("there", 5, "there exists already\nhint: move it away, or choose another path"),
        ("link", 5, "link exists already\nhint: move it away, or choose another path"),
        ("dangling", 5, "dangling exists already\nhint: move it away, or choose another path"),
        ("there/", 2, "there/: it is not a folder"),
        ("link/", 2, "link/: it is not a folder"),
        ("dangling/", 2, "dangling/: it is not a folder"),
        ("there/new/", 9, "there/new can't be written: Not a directory"),
        ("nowhere/new", 2, "nowhere/new: the folder nowhere does not exist"),
        ("there/new", 2, "there/new: the folder there does not exist"),
        ("", 2, ".: it is a folder"),
        ("n" * 300, 9, f"{'n' * 300} can't be written: File name too long"),
    ],
)
def test_an_invalid_output_leaves_the_folder_unchanged(stocked: Machine, output: str, code: int, said: str) -> None:
    _make_outputs(stocked.cwd)
    before = _snapshot(stocked.cwd)
    assert here.run(stocked, "pull", "pca", "-o", output) == (code, "", f"error: {said}\n")
    assert here.ask(stocked, "pull", "pca", "-o", output)[0] == code
    assert _snapshot(stocked.cwd) == before


def _make_outputs(folder: Path) -> None:
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "there").write_bytes(b"mine")
    for name, target in (("link", "there"), ("dangling", "gone")):
        if not os.path.lexists(folder / name):
            (folder / name).symlink_to(target)


def _snapshot(folder: Path) -> dict[str, bytes | str]:
    found = sorted(folder.rglob("*"))
    return {str(path): os.readlink(path) if path.is_symlink() else _content(path) for path in found}


def _content(path: Path) -> bytes | str:
    return path.read_bytes() if path.is_file() else "no file"


def test_an_output_in_a_read_only_folder_leaves_nothing(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    closed = machine.cwd / "closed"
    closed.mkdir(mode=0o500)
    program = [*without_privileges(), *PROGRAM]
    said = "error: closed/pulled can't be written: Permission denied\n"
    assert machine.run("pull", "pca", "-o", "closed/pulled", program=program) == (9, "", said)
    assert list(closed.iterdir()) == []


def test_a_forced_pull_to_a_symbolic_link_replaces_the_link_and_keeps_its_target(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    target = machine.file("target", "mine")
    (machine.cwd / "link").symlink_to("target")
    assert machine.run("pull", "pca", "-o", "link", "-f") == (0, "link\n", "")
    assert (target.read_bytes(), (machine.cwd / "link").read_bytes()) == (b"mine", b"one")


@pytest.mark.slow
def test_a_pull_replaces_no_device_and_no_stream(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    before = os.lstat("/dev/stdout")
    for words in ((), ("-f",)):
        redirected = machine.cwd / "redirected"
        with redirected.open("wb") as stdout:
            assert machine.run("pull", "pca", "-o", "/dev/stdout", *words, stdout=stdout)[::2] == (0, "")
        assert redirected.read_bytes() == b"one", "as with -o -, and nothing else"
        said = "error: /dev/fd/0: it is a stream of a process; for standard output use -o -\n"
        with redirected.open("r+b") as stdin:
            process = machine.begin("pull", "pca", "-o", "/dev/fd/0", *words, stdin=stdin)
            assert (process.communicate(timeout=60), process.returncode) == ((b"", said.encode()), 2)
        assert redirected.read_bytes() == b"one"
        assert machine.run("pull", "pca", "-o", "/dev/null", *words) == (0, "/dev/null\n", "")
    assert (stat.S_ISCHR(os.lstat("/dev/null").st_mode), os.lstat("/dev/stdout")[:2]) == (True, before[:2])
    code, _, err = machine.run("pull", "pca", "-o", "/dev/stdout", "--json")
    assert (code, "both write to standard output" in err) == (2, True)


def test_the_default_output_is_not_overwritten(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    assert machine.run("pull", "pca") == (0, "pca-1.0.0\n", "")
    said = "error: pca-1.0.0 exists already\nhint: move it away, or choose another path\n"
    machine.file("pca-1.0.0", "two")
    assert machine.run("pull", "pca") == (5, "", said)
    assert machine.run("pull", "pca", "-f") == (0, "pca-1.0.0\n", "")


# --- the streams ------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_closed_streams_are_reported_and_never_confused_with_files(machine: Machine) -> None:
    machine.file("blob", "one")
    open_ones: dict[str, Any] = {"stdin": None}
    # A command without any stream starts the daemon; none of its files may get the descriptor of a stream.
    assert machine.run("push", "pca", "blob", preexec_fn=closing(0, 1, 2), **open_ones) == (9, "", "")
    assert machine.run("ops", "-q", preexec_fn=closing(0), **open_ones) == (0, "pca\n", "")
    assert machine.run("ops", "-q", preexec_fn=closing(2), **open_ones) == (0, "pca\n", "")
    code, out, err = machine.run("ops", "-q", preexec_fn=closing(1), **open_ones)
    assert (code, out, err) == (9, "", "error: standard output can't be written: it is closed\n")
    said = "error: standard input: it is closed\n"
    assert machine.run("push", "pca", "-", preexec_fn=closing(0), **open_ones) == (2, "", said)
    code, out, err = machine.run("pull", "pca", "-o", "-", preexec_fn=closing(1), **open_ones)
    assert (code, out, err) == (9, "", "error: standard output can't be written: it is closed\n")
    assert machine.run("pull", "pca", "-o", "out", preexec_fn=closing(0, 2), **open_ones) == (0, "out\n", "")
    assert (machine.cwd / "out").read_bytes() == b"one"


@pytest.mark.slow
@posix
def test_closed_streams_in_a_shell(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("push", "pca", "blob")
    script = (
        '"$0" versions pca -q <&- >&-; echo "$?"; "$0" push pca - <&- 2>&-; echo "$?"; "$0" ops -q <&- 2>&-; echo $?'
    )
    code, out, err = machine.run(PROGRAM[0], program=["sh", "-c", script])
    assert (code, out) == (0, "9\n2\npca\n0\n")
    assert err == "error: standard output can't be written: it is closed\n"


@posix
def test_a_broken_or_full_stderr_does_not_change_the_result(machine: Machine) -> None:
    machine.file("blob", "one")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as broken:
        assert machine.run("push", "pca", "blob", stderr=broken) == (0, "pca@1.0.0\n", "")
        assert machine.run("show", "pca@9", stderr=broken) == (4, "", "")
    if Path("/dev/full").exists():
        with open("/dev/full", "wb", buffering=0) as full:
            assert machine.run("push", "pca", "blob", stderr=full) == (0, "pca@1.0.0\n", "")


# --- user text --------------------------------------------------------------------------------------------------------

NASTY = {
    "markup": ("[red]x[/red] [link=http://a]b[/link] :smile:", "[red]x[/red] [link=http://a]b[/link] :smile:"),
    "an escape sequence": ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
    "a C1 control": ("\x9b31mred\x85", "\\x9b31mred\\x85"),
    "a bidi override": ("user\u202egnp.exe\u2066", "user\\u202egnp.exe\\u2066"),
    "a line separator": ("one\u2028two", "one\\u2028two"),
    "a tab and a return": ("one\ttwo\rthree", "one\\ttwo\\rthree"),
    "a mark of another alphabet": ("naïve 模型 \U0001f468\u200d\U0001f469", "naïve 模型 \U0001f468\u200d\U0001f469"),
}


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return a machine whose store has a version and a link for each hostile text."""
    with a_machine(tmp_path_factory.mktemp("nasty") / "machine") as made:
        made.do("start")
        with made.client() as client:
            client.push("down", b"one")
            for position, (text, _) in enumerate(NASTY.values()):
                client.push(f"op{position}", b"one", message=text, labels={"key": text})
                client.link(f"op{position}@1.0.0", "down@any", evidence=text)
        yield made


@pytest.mark.parametrize("kind", few(2, NASTY))
def test_user_text_is_escaped_on_the_terminal_and_unchanged_in_json(nasty: Machine, kind: str) -> None:
    text, shown = NASTY[kind]
    # Every Unicode line separator ends a line of a message.
    lines = shown if kind not in ("a line separator", "a tab and a return", "a C1 control") else shown[:3]
    op = f"op{list(NASTY).index(kind)}"
    for command in (["show", op], ["links", op], ["versions", op]):
        code, said, err = here.run(nasty, *command)
        assert (code, err) == (0, "")
        assert lines in said, command
        assert not set(said) & set("\x1b\x07\x9b\x85\u202e\u2066\u2028\r"), command
        if command == ["versions", op]:
            continue
        code, on_terminal = nasty.on_a_terminal(*command, columns=250, env={"NO_COLOR": "1"})
        assert (code, lines in on_terminal, "\x1b" in on_terminal) == (0, True, False), on_terminal
        assert not set(on_terminal) & set("\x07\x9b\x85\u202e\u2066\u2028\r"), command
    _, document, _ = here.ask(nasty, "show", op)
    assert (document["message"], document["labels"]) == (text, {"key": text})
    _, document, _ = here.ask(nasty, "links", op)
    assert document["links"][0]["evidence"] == text


@pytest.mark.slow
@posix
@for_each(("op", "name"), enumerate([b"\x1b[31mred", b"\xff\xfe", "‮gnp".encode(), b"[red]x", b"-f", b" "]))
def test_file_names_are_escaped(machine: Machine, op: int, name: bytes) -> None:
    path = os.fsencode(machine.cwd) + b"/" + name
    with open(path, "wb") as file:
        file.write(b"one")
    code, out, err = machine.run("push", str(op), "--", name)
    assert (code, out, err) == (0, f"{op}@1.0.0\n", "" if op else STARTED)
    output = b"out" + name
    code, out, err = machine.run("pull", str(op), "-o", output)
    assert (code, err, set(out) & set("\x1b\u202e")) == (0, "", set())
    assert os.path.exists(os.fsencode(machine.cwd) + b"/" + output)
    message = f"{out.strip()} exists already" if name != b" " else "out  exists already"
    with open(os.fsencode(machine.cwd) + b"/" + output, "wb") as file:
        file.write(b"two")
    code, out, err = here.run(machine, "pull", str(op), "-o", output)
    assert (code, err.splitlines()[0]) == (5, f"error: {message}")
    code, _, error = here.ask(machine, "pull", str(op), "-o", output)
    assert (code, error["details"]["path"].startswith("out")) == (5, True)
    json.dumps(error, ensure_ascii=False).encode()


# --- names and references ---------------------------------------------------------------------------------------------

BAD_NAMES = [
    "", ".", "..", "a..b", "-a", "a.", "RandomForest", "../a", "a\\b", "nul.txt", "é", "a\n", "\x1b[31m", "\u202ea",
    "[red]", "a" * 129, "%2e%2e", "a?b",
]  # fmt: skip
BAD_REFERENCES = [
    "pca@", "pca@01.0.0", "pca@-1", "pca@١.٠.٠", "pca@sha256:abc", "pca@>=x", "pca@1.0.0@2", "@", "pca@../x",
    "pca@9999999999", "pca@sha256:" + "a" * 65, "pca@\x1b[31m", "pca@" + "9" * 5000,
]  # fmt: skip


@for_each("name", BAD_NAMES)
def test_an_invalid_name_is_refused_before_the_daemon_is_located(machine: Machine, name: str) -> None:
    code, document, error = machine.documents(*here.run(machine, "show", "--json", "--", name))
    assert (code, document, error["code"], error["details"]["name"]) == (2, None, "InvalidName", name[:200])
    assert not machine.home.exists()


def test_an_invalid_name_is_escaped_in_the_error(machine: Machine) -> None:
    machine.file("blob", "one")
    code, out, err = machine.run("push", "a\x1b[31m\u202eb", "blob")
    assert (code, out, err.partition(" is not a name")[0]) == (2, "", "error: 'a\\x1b[31m\\u202eb'")


@for_each("reference", BAD_REFERENCES)
def test_an_invalid_reference_is_refused(stocked: Machine, reference: str) -> None:
    code, out, err = here.run(stocked, "pull", "--", reference)
    assert (code, out, len(err) < 1000, "\x1b" in err) == (2, "", True, False)


def text_options() -> list[tuple[str, ...]]:
    """Return every text option and argument: the words of its command, then the option (empty for an argument)."""
    found: list[tuple[str, ...]] = []

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                child = command.get_command(click.Context(command), name)
                assert child is not None
                walk(child, (*path, name))
            return
        assert isinstance(command, Command)
        for param in command.params:
            if isinstance(param.type, click.Path) or getattr(param, "is_flag", False):
                continue
            if isinstance(param, GlobalOption) and path != ("ops",):
                continue
            found.append((*path, param.opts[-1] if isinstance(param, click.Option) else ""))

    walk(cli, ())
    return found


NEEDED = {
    ("push",): ["pca", "blob"],
    ("register",): ["pca"],
    ("pull",): ["pca"],
    ("versions",): ["pca"],
    ("show",): ["pca"],
    ("op", "set"): ["pca", "--compat", "major"],
    ("link",): ["pca@1.0.0", "forest"],
    ("unlink",): ["pca@1.0.0", "forest"],
    ("validate",): ["churn"],
    ("pipeline", "register"): ["churn", "pca"],
    ("pipeline", "show"): ["churn"],
    ("pipeline", "remove"): ["churn"],
}


@pytest.mark.slow
@posix
@for_each("where", text_options())
def test_bytes_that_are_not_utf_8_are_refused_in_every_option(stocked: Machine, where: tuple[str, ...]) -> None:
    stocked.file("blob", "one")
    *path, option = where
    words = NEEDED.get(tuple(path), [])
    given: list[str | bytes] = [*path]
    if not option:
        given += [b"a\xff", *words[1:]]
    elif option == "--field":
        given += [*words, option, b"major:a=\xff"]
    else:
        given += [*words, option, b"a=\xff"]
    message = here.refused(stocked, *given)
    assert ("Unicode" in message, "udc" in message) == (False, False)


@pytest.mark.slow
@posix
def test_bytes_that_are_not_utf_8_are_refused_in_the_settings(machine: Machine) -> None:
    for name in ("OPSTORE_URL", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE"):
        environment = {**os.environb, **{key.encode(): text.encode() for key, text in machine.environment.items()}}
        environment[name.encode()] = b"a\xff"
        ran = subprocess.run(
            [str(Path(sys.executable).with_name("opstore")), "ops", "--json", "--url", "http://127.0.0.1:9"]
            if name == "OPSTORE_TOKEN_FILE"
            else [str(Path(sys.executable).with_name("opstore")), "ops", "--json"],
            env=environment,
            cwd=machine.cwd,
            capture_output=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (2, b"")
        error = json.loads(ran.stderr)["error"]
        assert error["code"] == "InvalidSetting"
        json.dumps(error, ensure_ascii=False).encode()
    assert not machine.home.exists()


# --- arguments --------------------------------------------------------------------------------------------------------

LONG = "x" * 100_000


@pytest.mark.parametrize(
    "words",
    few(
        4,
        [
            ["push", "pca", "blob", "-m", LONG],
            ["push", "pca", "blob", "--label", f"key={LONG}"],
            ["push", "pca", "blob", "--label", f"{LONG}=value"],
            ["push", "pca", "blob", *(word for n in range(65) for word in ("--label", f"key{n}=value"))],
            ["push", "pca", "blob", "--field", f"major:{LONG}=value"],
            ["push", "pca", "blob", "--field", f"major:key={LONG}"],
            ["push", "pca", "blob", "--subversions", LONG],
            ["push", "pca", "blob", "--valid-for", LONG],
            ["push", LONG, "blob"],
            ["push", "pca", LONG],
            ["show", f"pca@{LONG}"],
            ["link", "pca@1.0.0", "forest", "--evidence", LONG],
            ["links", LONG],
            ["validate", "churn", *(word for _ in range(4000) for word in ("--use", "pca@1.0.0"))],
            ["pipeline", "register", "long", *(f"op{n}" for n in range(1001))],
            ["pull", "pca", "-o", "a/" * 50_000 + "b"],
            ["versions", "pca", "--limit", "9" * 5000],
            [LONG],
            [f"--{LONG}"],
        ],
    ),
    ids=lambda words: " ".join(words)[:40].rstrip("x"),
)
def test_arguments_over_the_limits_are_refused(stocked: Machine, words: list[str]) -> None:
    stocked.file("blob", "another")
    versions = here.run(stocked, "versions", "pca", "-q")
    code, out, err = here.run(stocked, *words)
    assert (code, out, "Traceback" in err) == (2, "", False), err[:300]
    assert here.run(stocked, "versions", "pca", "-q") == versions


def test_arguments_at_the_limits_are_stored(machine: Machine) -> None:
    machine.file("blob", "one")
    message, value, name = "m" * 65536, "v" * 1024, "n" * 128
    machine.do("push", name, "blob", "-m", message, "--label", f"key={value}")
    _, document, _ = machine.ask("show", name)
    assert (document["op"], document["message"], document["labels"]) == (name, message, {"key": value})
    assert machine.run("pull", name) == (0, f"{name}-1.0.0\n", "")


def test_two_dashes_end_the_options(machine: Machine) -> None:
    machine.file("-m", "one")
    assert machine.run("push", "pca", "--", "-m") == (0, "pca@1.0.0\n", STARTED)
    assert machine.run("push", "pca", "-m", "text", "--", "-m") == (
        0,
        "pca@1.0.0\n",
        NOTHING_NEW + "not recorded: the message; opstore edit pca@1.0.0 -m TEXT sets it\n",
    )
    assert machine.run("push", "pca", "./-m") == (0, "pca@1.0.0\n", NOTHING_NEW)
    assert machine.run("pull", "pca", "-o", "-f") == (0, "-f\n", "")
    code, out, err = machine.run("show", "--", "--json")
    assert (code, out, err.startswith("error: '--json' is not a name")) == (2, "", True)


NOTHING_NEW = "nothing new: pca@1.0.0 has these bytes already\n"


def test_options_can_be_placed_before_after_and_between_arguments(machine: Machine) -> None:
    machine.file("blob", "one")
    machine.do("start")
    for words in (
        ["-q", "push", "pca", "blob", "--bump", "minor"],
        ["push", "-q", "--bump", "minor", "pca", "blob"],
        ["push", "pca", "--bump=minor", "blob", "--quiet"],
        ["--no-color", "--url", machine.url, "push", "pca", "blob", "-q"],
    ):
        assert machine.run(*words) == (0, "pca@1.0.0\n", ""), words
    assert machine.run("push", "pca", "blob", "--bum", "minor")[0] == 2


def test_a_quoted_range_selects_a_version(stocked: Machine) -> None:
    assert stocked.run("show", "pca@>=1,<2", "-q") == (0, "pca@1.1.0\n", "")
    assert stocked.run("show", "pca@~=1.0", "-q") == (0, "pca@1.1.0\n", "")


@pytest.mark.parametrize("content", [b"ops = 1", b"\xff", b"ops = ['Pca']", b"", b"other = 1"])
def test_an_invalid_pipeline_file_is_refused_by_register(stocked: Machine, content: bytes) -> None:
    stocked.file("graph.toml", content)
    here.refused(stocked, "pipeline", "register", "refused", "--file", "graph.toml")
    assert "refused" not in here.run(stocked, "pipeline", "list", "-q")[1].split()


def test_the_python_client_refuses_the_same_names_and_references(stocked: Machine) -> None:
    with stocked.client() as client:
        for name in BAD_NAMES:
            with pytest.raises(errors.InvalidName):
                client.push(name, b"one")
        for reference in BAD_REFERENCES:
            with pytest.raises(errors.Refused):
                client.pull(reference)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii:strict"},
        pytest.param({"PYTHONIOENCODING": "cp1252"}, marks=pytest.mark.slow),
        pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    ],
)
def test_json_and_messages_survive_any_encoding(stocked: Machine, environment: dict[str, str]) -> None:
    with stocked.client() as client:
        version = client.push("encoded", b"bytes", message="größe 😀").version
    code, out, err = stocked.raw("show", f"encoded@{version}", "--json", env=environment)
    assert (code, json.loads(out.decode())["message"], err) == (0, "größe 😀", b"")
    code, out, err = stocked.raw("show", "encoded", env=environment)
    assert (code, b"internal" in err) == (0, False)
    code, out, err = stocked.raw("show", "größe".encode(), "--json", env=environment)
    assert (code, json.loads(err.decode())["error"]["details"]["name"]) == (2, "größe")


@pytest.mark.slow
@posix
def test_a_home_that_is_not_utf_8_is_escaped_in_json(machine: Machine) -> None:
    home = {"OPSTORE_HOME": os.fsdecode(os.fsencode(machine.folder) + b"/\xff\n")}
    machine.real = True  # the fork server takes text for an environment
    code, out, err = machine.raw("status", "--json", env=home)
    assert (code, json.loads(out)["home"].endswith("/\\xff\n"), err) == (7, True, b"")
    code, out, err = machine.raw("doctor", "--json", env=home)
    assert (code, b"\\\\xff" in out, err) == (0, True, b"")
