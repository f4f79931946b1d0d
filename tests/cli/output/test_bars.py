"""The progress bar on a real terminal."""

import os
import subprocess
import sys

import pytest

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
    """Run a program on its own terminal; return what it writes."""
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environment}
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # how Linux reports that the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return seen.decode()


@pytest.mark.skipif(os.name != "posix", reason="requires pty")
def test_a_long_transfer_shows_a_bar_on_a_terminal() -> None:
    assert "pull pca[/]" in on_a_terminal(_TRANSFER.format(seconds=0))
    assert on_a_terminal(_TRANSFER.format(seconds=60)) == "done\r\n"
    assert on_a_terminal(_TRANSFER.format(seconds=0), TERM="dumb") == "done\r\n"


def test_no_bar_is_shown_off_a_terminal() -> None:
    ran = subprocess.run([sys.executable, "-c", _TRANSFER.format(seconds=0)], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"done" + os.linesep.encode(), b"")
