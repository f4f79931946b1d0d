"""Each exit code of the real program, with and without --json."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon.protocol.digests import digest_of
from tests.support import here
from tests.support.figures import few
from tests.support.for_each import for_each
from tests.support.machines import MIB, PROGRAM, Machine
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for
from tests.support.wire import Stranger, Wire, refusing_port


def run_with_and_without_json(
    machine: Machine, *words: str | bytes | Path, **options: Any
) -> tuple[int, str, str, Any]:
    """Run a command with and without --json; return exit code, stdout, stderr, and the JSON error or document.

    Fail if the exit codes differ. Without --json, it is a process; with it only if the options need one.
    """
    plain, out, err = machine.run(*words, **options)
    code, document, error = machine.ask(*words, **options) if options else here.ask(machine, *words)
    assert code == plain, (words, plain, code)
    return plain, out, err, document if error is None else error


def printed_error(error: dict[str, Any]) -> str:
    """Return the error as it is printed without --json."""
    hint = f"hint: {error['hint']}\n" if error["hint"] else ""
    return f"error: {error['message']}\n{hint}"


def assert_fails(machine: Machine, line: str, code: int, name: str, said: str, **options: Any) -> None:
    """Check that the command fails with this code and error, with and without --json, and prints nothing on stdout."""
    got, out, err, error = run_with_and_without_json(machine, *line.split(), **options)
    assert (got, out, err, error["code"]) == (code, "", said, name), line
    assert printed_error(error) == said


# --- 0, 1, 3: verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "verdict"),
    few(
        5,
        [
            ("validate pca@1.0.0 forest@1.0.0", 0, "valid"),
            ("validate pca@1.1.0 forest@1.0.0", 1, "invalid"),
            ("validate pca@2.0.0 forest@1.0.0", 1, "invalid"),
            ("validate pca@2.0.0 forest@1.0.0 --allow-unknown", 1, "invalid"),
            ("validate tokenizer forest", 3, "unknown"),
            ("validate tokenizer forest --allow-unknown", 0, "unknown"),
            ("validate churn", 1, "invalid"),
            ("validate churn --use pca@1.0.0 --use forest@1.0.0", 0, "valid"),
            ("validate text", 3, "unknown"),
            ("validate text --allow-unknown", 0, "unknown"),
        ],
    ),
)
def test_validate_exits_with_the_code_of_the_verdict(stocked: Machine, line: str, code: int, verdict: str) -> None:
    got, out, _, document = run_with_and_without_json(stocked, *line.split())
    assert (got, out.split("\t")[1], document["verdict"]) == (code, verdict, verdict)


NOT_VALID = "error: no version of {op} is valid for {down}\nhint: opstore links {op}\n"
NOT_KNOWN = (
    "error: no version of {op} was ever validated for {down}\n"
    "hint: when one is validated: opstore link {op}@VERSION {down}@VERSION\n"
)


@pytest.mark.parametrize("command", ["versions", "pull"])
@pytest.mark.parametrize(
    ("op", "down", "code", "words"),
    [("pca", "forest@2.0.0", 1, NOT_VALID), ("forest", "pca", 3, NOT_KNOWN), ("tokenizer", "forest", 3, NOT_KNOWN)],
)
def test_an_empty_selection_exits_1_or_3(
    stocked: Machine, command: str, op: str, down: str, code: int, words: str
) -> None:
    before = stocked.listing()
    got, out, err, document = run_with_and_without_json(stocked, command, op, "--valid-for", down)
    assert (got, out, err[err.index("error:") :]) == (code, "", words.format(op=op, down=down))
    assert document[{"versions": "versions", "pull": "pulled"}[command]] == []
    assert stocked.listing() == before


@pytest.mark.parametrize(("pipeline", "op", "code"), [("dead", "solo", 1), ("text", "forest", 3)])
def test_a_pull_of_an_unresolvable_pipeline_writes_nothing(stocked: Machine, pipeline: str, op: str, code: int) -> None:
    if pipeline == "dead":
        for op, content in (("solo", "one"), ("solo", "two"), ("sink", "one")):
            stocked.do("push", op, "-", "--bump", "major", stdin=content.encode())
        stocked.do("link", "solo@1.0.0", "sink")
        stocked.do("yank", "solo@1.0.0", "--reason", "what is left is not validated")
        stocked.do("pipeline", "register", "dead", "solo", "sink")
    before = stocked.listing()
    got, out, _, document = run_with_and_without_json(stocked, "pull", op, "--pipeline", pipeline)
    assert (got, out, document["pulled"], stocked.listing()) == (code, "", [], before)


# --- 2: wrong usage, refused input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "versions",
        "nonsense",
        "push pca",
        "push pca nowhere",
        "show Pca",
        "show pca@",
        "show pca@01.0.0",
        "link pca@1.0.0 pca",
        "pipeline register loop --edge pca:forest --edge forest:pca",
        "push pca - --subversions aaaa.bbbb",
        "--url ftp://127.0.0.1 ops",
        "pull pca --valid-for forest --pipeline churn",
    ],
)
def test_usage_errors_and_refused_input_exit_2(stocked: Machine, line: str) -> None:
    code, out, err, error = run_with_and_without_json(stocked, *line.split())
    assert (code, out) == (2, "")
    assert err == printed_error(error)


# --- 4: not found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "name", "said"),
    few(
        4,
        [
            ("show nowhere", "OpNotFound", "error: there is no op nowhere\nhint: opstore ops\n"),
            ("versions nowhere", "OpNotFound", "error: there is no op nowhere\nhint: opstore ops\n"),
            ("pull pca@9", "VersionNotFound", "error: no version of pca matches 9\nhint: opstore versions pca\n"),
            ("show pca@a-tag", "TagNotFound", "error: pca has no tag a-tag\nhint: opstore tags pca\n"),
            (
                "pull tokenizer",
                "NotStored",
                "error: tokenizer@1.0.0 has no bytes: it is registered only\nhint: opstore versions tokenizer\n",
            ),
            (
                "unlink pca@2.0.0 forest@any",
                "LinkNotFound",
                "error: no link from pca@2.0.0 to forest@any is in force; the links between pca and forest:"
                " pca@1.0.0 -> forest@1.0.0\nhint: opstore links pca\n",
            ),
            ("show forst", "OpNotFound", "error: there is no op forst\nhint: did you mean forest?\n"),
            ("pull pac -o x", "OpNotFound", "error: there is no op pac\nhint: did you mean pca?\n"),
            ("link pac forest", "OpNotFound", "error: there is no op pac\nhint: did you mean pca?\n"),
            ("push boost - --valid-with pac", "OpNotFound", "error: there is no op pac\nhint: did you mean pca?\n"),
            (
                "validate chrun",
                "PipelineNotFound",
                "error: there is no pipeline chrun\nhint: did you mean churn?\n",
            ),
            (
                "validate nowhere",
                "PipelineNotFound",
                "error: there is no pipeline nowhere\nhint: opstore pipeline list\n",
            ),
            (
                "pipeline remove nowhere",
                "PipelineNotFound",
                "error: there is no pipeline nowhere\nhint: opstore pipeline list\n",
            ),
            ("op set nowhere --compat exact", "OpNotFound", "error: there is no op nowhere\nhint: opstore ops\n"),
        ],
    ),
)
def test_a_missing_object_exits_4(stocked: Machine, line: str, name: str, said: str) -> None:
    before = stocked.listing()
    assert_fails(stocked, line, 4, name, said)
    assert stocked.listing() == before


# --- 5: conflict ------------------------------------------------------------------------------------------------------


def test_other_bytes_under_a_stored_version_are_a_conflict(machine: Machine) -> None:
    machine.file("one", "one")
    machine.file("two", "two")
    machine.do("push", "pca", "one", "--subversions", "aaaa.bbbb.cccc")
    said = (
        "error: pca@1.0.0 has the subversions aaaa.bbbb.cccc already, with other bytes: DIGEST\n"
        "hint: opstore push pca FILE --bump patch\n"
    )
    assert_fails(machine, "push pca two --subversions aaaa.bbbb.cccc", 5, "VersionConflict", said)
    assert machine.do("versions", "pca", "-q") == "pca@1.0.0"


def test_another_graph_under_the_name_of_a_pipeline_is_a_conflict(stocked: Machine) -> None:
    said = "error: the pipeline churn is registered already, with another graph\n"
    said += "hint: opstore pipeline show churn, or another name for this graph\n"
    assert_fails(stocked, "pipeline register churn forest pca", 5, "PipelineConflict", said)


def test_an_output_that_exists_is_a_conflict_unless_it_is_forced(stocked: Machine) -> None:
    stocked.file("there", "mine")
    said = "error: there exists already\nhint: move it away, or choose another path\n"
    assert_fails(stocked, "pull pca -o there", 5, "OutputExists", said)
    assert (stocked.cwd / "there").read_bytes() == b"mine"
    assert stocked.run("pull", "pca@1.0.0", "-o", "there", "-f") == (0, "there\n", "")
    assert (stocked.cwd / "there").read_bytes() == b"one"


# --- 6: integrity -----------------------------------------------------------------------------------------------------


def damage(machine: Machine, content: bytes, how: Callable[[Path], None]) -> None:
    """Damage the file of a blob directly."""
    digits = digest_of(content).hex
    path = machine.home / "blobs" / "blobs" / digits[:2] / digits
    path.chmod(0o600)
    how(path)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


SMALL, LARGE = b"small" * 100, bytes(range(256)) * (3 * MIB // 256)


DAMAGE: dict[str, tuple[bytes, Callable[[Path], None]]] = {
    "small-bit": (SMALL, lambda path: flip(path, 100)),
    "small-gone": (SMALL, Path.unlink),
    "small-cut": (SMALL, lambda path: os.truncate(path, 100)),
    "large-start": (LARGE, lambda path: flip(path, 100)),
    "large-end": (LARGE, lambda path: flip(path, len(LARGE) - 1)),
    "large-cut": (LARGE, lambda path: os.truncate(path, 2 * MIB)),
}


@for_each("op", DAMAGE)
def test_damaged_bytes_exit_6_and_leave_no_file(machine: Machine, op: str) -> None:
    content, how = DAMAGE[op]
    content = op.encode() + content[len(op) :]  # each op has a blob of its own
    machine.file("blob", content)
    machine.do("push", op, "blob")
    damage(machine, content, how)
    code, out, err, error = run_with_and_without_json(machine, "pull", op, "-o", "pulled")
    assert (code, out, err, error["code"]) == (6, "", printed_error(error), "BlobDamaged")
    assert machine.listing() == ["blob"]


def test_damaged_bytes_on_standard_output_are_truncated(machine: Machine) -> None:
    machine.file("blob", LARGE)
    machine.do("push", "pca", "blob")
    damage(machine, LARGE, lambda path: flip(path, 100))
    code, out, _ = machine.raw("pull", "pca", "-o", "-")
    assert (code, len(out) < len(LARGE)) == (6, True)


@for_each(("op", "data"), [("few", SMALL), ("many", LARGE)])
def test_pushing_the_same_bytes_again_repairs_a_damaged_blob(machine: Machine, op: str, data: bytes) -> None:
    machine.file("blob", data)
    machine.do("push", op, "blob")
    damage(machine, data, lambda path: flip(path, len(data) // 2))
    assert machine.raw("pull", op, "-o", op)[0] == 6
    machine.do("push", op, "blob")
    machine.do("pull", op, "-o", op)
    assert (machine.cwd / op).read_bytes() == data


# --- 7: the daemon can't be reached -----------------------------------------------------------------------------------


def test_a_url_without_a_daemon_exits_7_and_starts_nothing(machine: Machine) -> None:
    url = f"http://127.0.0.1:{refusing_port()}"
    said = "error: no daemon answers at URL: connection refused\nhint: start a daemon there: opstore serve --port "
    check = ", or check the tunnel or load balancer at that port"
    without = f"{said}{url.rpartition(':')[2]}{check}; without --url, this command uses the local daemon\n"
    said = without.replace("--url, this command uses", "OPSTORE_URL, commands use")
    for options in ({"env": {"OPSTORE_URL": url}}, {}):
        line = "ops" if options else f"ops --url {url}"
        assert_fails(machine, line, 7, "DaemonUnreachable", said if options else without, **options)
    named = "commands use this daemon, because OPSTORE_URL names it\n"
    assert machine.run("status", env={"OPSTORE_URL": url}) == (7, "", said + named)
    assert machine.ask("status", env={"OPSTORE_URL": url})[:2] == (
        7,
        {
            "running": False,
            "url": "URL",
            "pid": None,
            "version": None,
            "home": None,
            "because": "OPSTORE_URL names it",
            "reason": "no daemon answers at URL: connection refused",
            "unfinished": [],
        },
    )
    assert not machine.home.exists()


def test_a_missing_daemon_without_autostart_exits_7(machine: Machine) -> None:
    said = "error: no daemon runs for /machine/data\nhint: opstore start\n"
    assert_fails(machine, "ops", 7, "DaemonNotRunning", said, env={"OPSTORE_NO_AUTOSTART": "1"})
    assert not machine.home.exists()


def test_a_server_other_than_a_daemon_exits_7(machine: Machine, strangers: Callable[..., Stranger]) -> None:
    url = strangers("200 OK", body=b"welcome").url
    code, out, err, error = run_with_and_without_json(machine, "ops", "--url", url)
    assert (code, out, err, error["code"]) == (7, "", printed_error(error), "DaemonUnreachable")
    assert error["message"] == "no daemon answers at URL: the server is not an opstore daemon (HTTP 200)"


# --- 8: not authorised ------------------------------------------------------------------------------------------------


UNSET_HINT = "hint: unset OPSTORE_TOKEN: the local daemon's own token is found without it\n"
LOGIN_HINT = "hint: opstore login URL, with a token of that daemon (run opstore token there)\n"


def test_a_wrong_token_exits_8(machine: Machine) -> None:
    machine.do("start")
    said = "error: the daemon requires a token: the token of the request is not valid\n" + UNSET_HINT
    assert_fails(machine, "ops", 8, "TokenRequired", said, env={"OPSTORE_TOKEN": "a-wrong-one-of-some-length"})


def test_a_wrong_token_for_a_loopback_url_exits_8(machine: Machine, other: Machine) -> None:
    machine.do("start")
    said = "error: URL did not prove that it knows the token, which was not sent: a wrong token, or another program\n"
    said += "hint: set OPSTORE_TOKEN to the token of the daemon there (run opstore token there); "
    said += "behind a tunnel from another port it needs --allow-host\n"
    assert_fails(other, f"ops --url {machine.url}", 8, "ProofFailed", said, env={"OPSTORE_TOKEN": "a-wrong-one"})


def test_a_missing_token_for_a_url_exits_8(machine: Machine, other: Machine) -> None:
    machine.do("start")
    said = "error: the daemon requires a token: the request has no token\n" + LOGIN_HINT
    assert_fails(other, f"ops --url {machine.url}", 8, "TokenRequired", said)


AUDITED = """
import sys
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print(event, arguments, file=sys.stderr)
sys.addaudithook(note)
from opstore_cli.main import run
run()
"""


def test_a_token_for_remote_plain_http_exits_8_and_nothing_is_sent(machine: Machine) -> None:
    said = (
        "error: a token is not sent to http://192.0.2.1:8080: over plain HTTP everybody on the way could read it\n"
        "hint: use https://\n"
    )
    options = {"env": {"OPSTORE_TOKEN": "secret"}, "program": [sys.executable, "-P", "-c", AUDITED]}
    assert_fails(machine, "ops --url http://192.0.2.1:8080", 8, "PlainHttp", said, **options)
    # The hook does record connections.
    _, _, err = machine.run("ops", "--url", f"http://127.0.0.1:{refusing_port()}", **options)
    assert "socket.connect" in err


def test_a_url_from_the_working_tree_alone_exits_8_and_nothing_is_sent(
    machine: Machine, strangers: Callable[..., Stranger]
) -> None:
    stranger = strangers()
    machine.file("opstore.toml", f'url = "{stranger.url}"')
    code, out, err, error = run_with_and_without_json(machine, "ops", env={"OPSTORE_TOKEN": "secret"})
    assert (code, out, err, error["code"]) == (8, "", printed_error(error), "UntrustedUrl")
    assert error["details"] == {"url": "URL", "path": "/machine/work/opstore.toml"}
    assert (stranger.connections, machine.home.exists()) == (0, False)


# --- 9: storage errors ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="requires /dev/full")
def test_a_full_output_disk_exits_9(stocked: Machine) -> None:
    said = "error: /dev/full can't be written: No space left on device\n"
    assert_fails(stocked, "pull pca -o /dev/full", 9, "OutputFailed", said)
    said = "error: standard output can't be written: No space left on device\n"
    for line in ("pull pca -o -", "versions pca"):
        with open("/dev/full", "wb") as full:
            code, _, err = stocked.run(*line.split(), stdout=full)
            assert (code, err) == (9, said)


@pytest.mark.slow
def test_a_full_disk_of_the_daemon_exits_9_and_stores_nothing(machine: Machine) -> None:
    machine.file("blob", bytes(4 * MIB))

    def small_files() -> None:
        # This limit applies to root too, unlike some quotas.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    with machine.serving(preexec_fn=small_files):
        code, out, err, error = run_with_and_without_json(machine, "push", "pca", "blob")
        assert (code, out, err) == (9, "", printed_error(error))
        assert error["code"] in ("StorageFull", "StorageFailed")
        assert machine.run("ops") == (0, "", "")
        assert list((machine.home / "blobs" / "staging").iterdir()) == []


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /tmp"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_a_disk_that_is_too_full_exits_9_before_the_upload(machine: Machine) -> None:
    if not _can_mount():
        pytest.skip("no file system can be mounted here")
    machine.file("blob", bytes(4 * MIB))
    machine.home.mkdir()
    script = """
        mount -t tmpfs -o size=8m,mode=0700 tmpfs "$OPSTORE_HOME" && "$@" start -q > /dev/null &&
        "$@" push pca blob; echo "code $?"; "$@" push pca blob --json; echo "code $?"; "$@" stop -q
    """
    program = ["unshare", "-rm", "sh", "-c", script, "sh"]
    code, out, err = machine.run(*PROGRAM, program=program)
    assert (code, out) == (0, "code 9\ncode 9\n")
    plain, hint, document = err.splitlines()
    error = json.loads(document)["error"]
    assert (error["code"], f"{plain}\n{hint}\n") == ("StorageFull", printed_error(error))
    reason = "4194304 bytes are needed, and 0 bytes are free besides the last 8 MiB, which are kept for metadata"
    assert plain == f"error: there is no space left: {reason}"


# --- 70: internal error -----------------------------------------------------------------------------------------------


def test_an_internal_error_of_the_daemon_exits_70_with_a_reference_to_the_log(machine: Machine) -> None:
    machine.file("pca.bin", "one")
    machine.do("push", "pca", "pca.bin")
    # A manipulated database: no code expects an invalid time.
    database = sqlite3.connect(machine.home / "opstore.db")
    with database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("UPDATE version SET registered_at = 'yesterday'")
    database.close()
    code, out, err = machine.raw("show", "pca", "--json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"]) == (70, b"", "InternalError")
    assert f"internal error {error['details']['reference']} in GET" in machine.log()
    plain, out_, err_ = machine.run("show", "pca")
    assert (plain, out_) == (70, "")
    assert err_ == (
        "error: an internal error, with the reference REFERENCE\n"
        "hint: the daemon's log has the details under that reference: opstore logs\n"
    )


def test_a_bug_in_the_command_line_exits_70(machine: Machine) -> None:
    broken = "import opstore_cli.client.client as c\ndef bug(*_, **__): raise RuntimeError('[red]a bug[/red]')\n"
    broken += "c.OpStoreClient.ops = bug\nfrom opstore_cli.main import run\nrun()"
    program = [sys.executable, "-P", "-c", broken]
    code, out, err = machine.run("ops", program=program)
    assert (code, out, err) == (
        70,
        "",
        "error: an internal error, with the reference REFERENCE: RuntimeError: [red]a bug[/red]\n"
        "hint: run the command again with -v, and report the output\n",
    )
    assert machine.ask("ops", program=program)[0] == 70
    code, _, err = machine.run("ops", "-v", program=program)
    assert (code, "Traceback" in err, "in bug" in err) == (70, True, True)


# --- 130, 141: interrupted, broken pipe -------------------------------------------------------------------------------


def interrupt(machine: Machine, wire: Wire, *words: str) -> tuple[int, str, str]:
    """Run a command over the wire, and interrupt it when the wire pauses."""
    process = machine.begin(*words, env=wire.settings)
    assert wire.stopped.wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    wire.reset()
    return process.returncode, machine.tidy(out.decode()), machine.tidy(err.decode())


def interrupted(*words: str) -> str:
    """Return what a command says on standard error when a transfer is interrupted that it resumes."""
    hint = f"resume it with: opstore {' '.join(words)}"
    error = {"code": "Interrupted", "message": "interrupted", "details": {}, "hint": hint}
    return f"{json.dumps({'error': error})}\n" if "--json" in words else f"error: interrupted\nhint: {hint}\n"


SIZE = 32 * MIB  # up to a quarter of it may be in the buffers of the system and is lost by an interruption


@pytest.mark.parametrize("options", [(), pytest.param(("--json",), marks=pytest.mark.slow)])
def test_an_interrupted_push_exits_130_and_can_be_resumed(
    machine: Machine, wire: Wire, options: tuple[str, ...]
) -> None:
    machine.file("blob", random_bytes(MIB) * (SIZE // MIB))
    wire.stop_up = SIZE // 2
    words = ("push", "pca", "blob", *options)
    assert interrupt(machine, wire, *words) == (130, "", interrupted(*words))
    assert machine.do("ops") == ""
    assert machine.run("push", "pca", "blob", env=wire.settings) == (0, "pca@1.0.0\n", "")
    assert wire.up < SIZE * 3 / 4


@pytest.mark.parametrize("options", [pytest.param((), marks=pytest.mark.slow), ("--json",)])
def test_an_interrupted_pull_exits_130_and_can_be_resumed(
    machine: Machine, wire: Wire, options: tuple[str, ...]
) -> None:
    content = random_bytes(MIB) * (SIZE // MIB)
    machine.file("blob", content)
    machine.do("push", "pca", "blob")
    wire.stop_down = SIZE // 2
    words = ("pull", "pca", "-o", "pulled", *options)
    assert interrupt(machine, wire, *words) == (130, "", interrupted(*words))
    (part,) = set(machine.listing()) - {"blob"}
    assert (part.startswith(".pulled."), part.endswith(".part")) == (True, True)
    assert machine.run("pull", "pca", "-o", "pulled", env=wire.settings) == (0, "pulled\n", "")
    assert (machine.listing(), (machine.cwd / "pulled").read_bytes() == content) == (["blob", "pulled"], True)
    assert wire.down < SIZE * 3 / 4


def test_a_broken_pipe_exits_141_without_a_message(machine: Machine) -> None:
    machine.file("blob", bytes(8 * MIB))
    machine.do("push", "pca", "blob")
    for words in (["versions", "pca"], ["show", "pca", "--json"], ["ops", "-q"], ["pull", "pca", "-o", "-"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            assert machine.run(*words, stdout=writing) == (141, "", "")
        finally:
            os.close(writing)


def test_a_pipe_that_breaks_during_a_pull_exits_141(machine: Machine) -> None:
    machine.file("blob", bytes(8 * MIB))
    machine.do("push", "pca", "blob")
    process = machine.begin("pull", "pca", "-o", "-")
    assert process.stdout is not None
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_a_daemon_that_dies_during_a_command_exits_7(machine: Machine, wire: Wire) -> None:
    machine.file("blob", bytes(16 * MIB))
    wire.stop_up = 4 * MIB
    process = machine.begin("push", "pca", "blob", "--json", env=wire.settings)
    assert wire.stopped.wait(60)
    machine.kill()
    wire.cut()
    out, err = process.communicate(timeout=60)
    error = json.loads(err)["error"]
    assert (process.returncode, out) == (7, b"")
    assert error["code"] in ("ConnectionLost", "DaemonUnreachable")
    wait_for(lambda: not machine.is_held(), "the end")
