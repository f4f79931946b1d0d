"""Run the program in a process of its own or in this one."""

import os
import subprocess
import sys
from typing import Any

import pytest

from opstore_cli.console.session import Session
from opstore_cli.main import main

RUN = "from opstore_cli.main import run; run()"
Triple = tuple[int, str, str]


def opstore(environment: dict[str, str], *words: str, **options: Any) -> Triple:
    """Run the real program; return exit code, stdout and stderr."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    ran = subprocess.run([sys.executable, "-c", RUN, *words], env=environment, text=True, timeout=60, **options)
    return ran.returncode, ran.stdout or "", ran.stderr or ""


def in_process(capsys: pytest.CaptureFixture[str], *words: str) -> Triple:
    """Run a command line that must exit before it creates a client."""

    class NoDaemon(Session):
        def client(self, settings: Any = None) -> Any:
            pytest.fail("a usage error has to be found before a daemon is looked for")

    return (main(words, NoDaemon()), *capsys.readouterr())


posix = pytest.mark.skipif(os.name != "posix", reason="requires POSIX descriptors")
