"""Fixtures that run commands with a fake client."""

from typing import Any

import pytest

from opstore_cli.main import main
from opstore_cli.output import document as output
from tests.cli.output.fakes import FakeClient, FakeSession, Opstore, Triple


@pytest.fixture
def opstore(capsys: pytest.CaptureFixture[str]) -> Opstore:
    """Run a command line in this process; return exit code, stdout and stderr; keywords are results of the client."""

    def run(*words: str, **results: Any) -> Triple:
        session = FakeSession()
        session.fake = FakeClient(results)
        code = main(words, session)
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stdout and stderr a terminal of 100 columns without colour."""
    monkeypatch.setattr(output, "_is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
