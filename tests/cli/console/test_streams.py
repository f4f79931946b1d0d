"""Broken, full and closed standard streams."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.console.program import opstore, posix
from tests.support.open_files import closing


@posix
def test_a_broken_pipe_exits_141_without_a_message(environment: dict[str, str], tmp_path: Path) -> None:
    # click writes the help and opstore the rest; lines of text fail only when the program flushes its streams.
    for words in (["--help"], ["push", "--help"], ["status", "--json"], ["completion", "bash"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            assert opstore(environment, *words, stdout=writing, cwd=tmp_path) == (141, "", "")
        finally:
            os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="requires /dev/full")
def test_a_full_disk_for_stdout_exits_9(environment: dict[str, str], tmp_path: Path) -> None:
    said = "error: standard output can't be written: No space left on device\n"
    with open("/dev/full", "wb") as full:
        for words in (["--help"], ["completion", "bash"]):
            assert opstore(environment, *words, stdout=full, cwd=tmp_path) == (9, "", said)
        code, _, err = opstore(environment, "status", "--json", stdout=full, cwd=tmp_path)
        assert (code, json.loads(err)["error"]["code"]) == (9, "OutputFailed")


WITH_A_NOTE = """
from opstore_cli.output import streams
from opstore_cli.output.document import Output
streams.prepare()
out = Output()
out.write_lines(["x"])
out.note("a note flushes stdout first")
try:
    streams.sys.stdout.flush()
except Exception as error:
    print(error, file=streams.sys.stderr)
streams.flush_at_exit()
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="requires /dev/full")
def test_a_full_disk_for_an_unbuffered_stdout_is_an_error_also_after_a_note() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-u", "-c", WITH_A_NOTE], stdout=full, stderr=subprocess.PIPE, check=True
        )
    assert done.stderr.splitlines()[1:] == [b"standard output can't be written: No space left on device"]


@pytest.mark.slow
@posix
def test_closed_streams_cause_no_crash(environment: dict[str, str], tmp_path: Path) -> None:
    said = "error: no daemon runs for " + str(tmp_path / "home") + "\nhint: opstore start\n"
    none = {"stdin": None, "cwd": tmp_path}
    assert opstore(environment, "status", preexec_fn=closing(0), **none) == (7, "", said)
    assert opstore(environment, "status", preexec_fn=closing(0, 1), **none) == (7, "", said)
    assert opstore(environment, "status", preexec_fn=closing(0, 1, 2), **none) == (7, "", "")
    assert opstore(environment, "token", "--json", preexec_fn=closing(2), **none) == (4, "", "")
    assert opstore(environment, "push", "pca", "-", preexec_fn=closing(0), **none) == (
        2,
        "",
        "error: standard input: it is closed\n",
    )
    closed = "error: standard output can't be written: it is closed\n"
    code, _, err = opstore(environment, "status", "--json", preexec_fn=closing(1), **none)
    assert (code, json.loads(err)["error"]["message"]) == (9, closed[7:-1])


@pytest.mark.slow
@posix
def test_a_broken_stderr_does_not_change_the_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert opstore(environment, "status", stderr=writing, cwd=tmp_path) == (7, "", "")
        assert opstore(environment, "token", "--json", stderr=writing, cwd=tmp_path) == (4, "", "")
    finally:
        os.close(writing)
    if Path("/dev/full").exists():
        with open("/dev/full", "wb") as full:
            assert opstore(environment, "token", "--json", stderr=full, cwd=tmp_path) == (4, "", "")


@pytest.mark.slow
def test_a_character_that_stdout_cannot_encode_is_escaped(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "ü"
    ascii_only = {**environment, "OPSTORE_HOME": str(home), "PYTHONIOENCODING": "ascii"}
    out = opstore(ascii_only, "doctor", cwd=tmp_path)[1]
    assert str(home).replace("ü", "\\xfc") in out
    code, out, _ = opstore(ascii_only, "status", "--json", cwd=tmp_path)
    assert (code, json.loads(out.replace("\\x", "\\u00"))["home"]) == (7, str(home))
