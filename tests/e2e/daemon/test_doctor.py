"""`opstore doctor`: its output formats and exit code. The findings of each check: tests/cli/doctor."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from opstore_daemon.protocol.home_trust import user_name
from tests.support.machines import Machine
from tests.support.schema import HEAD

BEFORE = """\
settings\tok\tthey name the local daemon of /machine/data\t-
home\tok\t/machine/data is created when a daemon first starts\t-
disk\tok\tSIZE are free on the disk of /machine/data\t-
credentials\tok\tnot logged in to any URL\t-
sqlite\tok\tSQLITE\t-
daemon\tok\tit does not run: the first command that needs it starts it\t-
"""
RUNNING = f"""\
settings\tok\tthey name the local daemon of /machine/data\t-
home\tok\t/machine/data can be written, and by no other user\t-
owners\tok\tall files in /machine/data belong to {user_name()}\t-
disk\tok\tSIZE are free on the disk of /machine/data\t-
locks\tok\tfile locks work\t-
times\tok\tfiles get the time of this machine's clock\t-
token file\tok\t/machine/data/token exists, and only you can read it\t-
credentials\tok\tnot logged in to any URL\t-
sqlite\tok\tSQLITE\t-
schema\tok\t/machine/data/opstore.db has the schema {HEAD}\t-
daemon\tok\topstore 0.1.0 runs at URL (pid PID)\t-
token\tok\tthe local daemon accepts the token (token file)\t-
clock\tok\tthe daemon's clock agrees with this machine's\t-
"""


def doctor(machine: Machine, *words: str, **options: object) -> tuple[int, str, str]:
    code, out, err = machine.run("doctor", *words, **options)
    out = re.sub(r"[\d.]+ [kMGTP]B", "SIZE", out)
    out = re.sub(r"\(pid \d+\)", "(pid PID)", out)
    return code, re.sub(r"SQLite [\d.]+( has the WAL-reset bug, which .* avoids)?", "SQLITE", out), err


def test_there_are_no_findings_before_during_and_after_a_run_of_the_daemon(machine: Machine) -> None:
    assert doctor(machine) == (0, BEFORE, "")
    assert not machine.home.exists()
    machine.do("start")
    assert doctor(machine) == (0, RUNNING, "")
    assert doctor(machine, "-q") == (0, "", "")
    starts = machine.starts()
    machine.do("stop")
    assert doctor(machine)[0] == 0
    assert (machine.starts(), machine.is_held()) == (starts, False)


@pytest.mark.slow
def test_a_finding_is_a_line_with_a_hint_and_exit_code_1(machine: Machine) -> None:
    machine.do("start")
    (machine.home / "token").chmod(0o644)
    machine.file("opstore.toml", 'url = "https://models.example.com"')
    code, out, err = doctor(machine)
    assert (code, err) == (1, "")
    findings = [line for line in out.splitlines() if line.split("\t")[1] == "finding"]
    assert findings == [
        "working tree\tfinding\t/machine/work/opstore.toml names https://models.example.com, which somebody else may "
        "have written: it is not used\topstore login https://models.example.com, if you trust it, or remove it from "
        "/machine/work/opstore.toml",
        "token file\tfinding\tothers can read /machine/data/token\tchmod 600 /machine/data/token",
    ]
    assert doctor(machine, "-q") == (1, "working tree\ntoken file\n", "")
    code, document, error = machine.ask("doctor")
    assert (code, error) == (1, None)
    assert [each["check"] for each in document["findings"] if not each["ok"]] == ["working tree", "token file"]
    assert document["findings"][7] == {
        "check": "token file",
        "ok": False,
        "found": "others can read /machine/data/token",
        "advice": "chmod 600 /machine/data/token",
    }
    # Following the advice solves the problem.
    (machine.home / "token").chmod(0o600)
    (machine.cwd / "opstore.toml").unlink()
    assert doctor(machine) == (0, RUNNING, "")


@pytest.mark.slow
def test_a_hanging_daemon_is_a_finding_until_it_is_killed(machine: Machine) -> None:
    machine.do("start")
    os.kill(machine.pid, signal.SIGSTOP)
    code, out, _ = machine.raw("doctor")
    line = next(line for line in out.decode().splitlines() if line.startswith("daemon\t"))
    assert (code, line.split("\t")[1]) == (1, "finding")
    assert line.endswith(f"\tcontinue process {machine.pid} (SIGCONT, or fg in its shell), or run opstore restart")
    os.kill(machine.pid, signal.SIGCONT)
    assert doctor(machine)[0] == 0


def test_invalid_settings_are_a_finding_not_an_error(machine: Machine) -> None:
    for option in ("ftp://host", "https://user:password@host"):
        code, out, err = doctor(machine, "--url", option)
        assert (code, err, out.startswith("settings\tfinding\t--url: ")) == (1, "", True)
        assert "password@" not in out


def test_a_deleted_working_directory_is_a_finding(machine: Machine, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    def leave() -> None:
        os.chdir(gone)
        gone.rmdir()

    code, out, err = doctor(machine, preexec_fn=leave)
    assert (code, err) == (1, "")
    assert out.startswith("settings\tfinding\tthe working directory: No such file or directory\t")


def test_the_findings_are_a_table_on_a_terminal(machine: Machine) -> None:
    code, shown = machine.on_a_terminal("doctor", columns=160, env={"NO_COLOR": "1"})
    lines = shown.splitlines()
    assert (code, lines[0].split()) == (0, ["CHECK", "FOUND"])
    assert lines[1].split(None, 3) == ["settings", "✓", "ok", "they name the local daemon of /machine/data"]


def test_foreign_text_in_findings_is_escaped(machine: Machine) -> None:
    machine.file("opstore.toml", '"\\u001b[31mred" = 1')
    code, out, _ = machine.raw("doctor")
    assert (code, b"\x1b" in out, b"\\x1b[31mred" in out) == (1, False, True)
    code, document, _ = machine.ask("doctor")
    assert json.dumps(document)
