"""All text output to a terminal is escaped."""

from collections.abc import Sequence
from typing import Any

import pytest

from opstore_cli.output import document, progress, tables
from opstore_cli.output.progress import BarProgress

HOSTILE = "a\x1b[31mb\u202e"
SHOWN = "a\\x1b[31mb\\u202e"


def test_all_text_output_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    out = document.Output(verbose=True)
    out.write_lines([HOSTILE])
    out.write_result(None, quiet=[], full=[HOSTILE])
    out.write_result(None, quiet=[], full=tables.Table(("",), [[HOSTILE]]))
    out.note(HOSTILE)
    out.warn(HOSTILE)
    out.failure("Code", HOSTILE, HOSTILE, {HOSTILE: HOSTILE})
    out.traceback([HOSTILE])
    said, aside = capsys.readouterr()
    assert said.splitlines() == [SHOWN] * 3
    assert aside.splitlines() == [
        SHOWN,
        f"warning: {SHOWN}",
        f"error: {SHOWN}",
        f"  {SHOWN}: {SHOWN}",
        f"hint: {SHOWN}",
        SHOWN,
    ]


def test_the_labels_of_a_bar_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    class Recorded(BarProgress):
        def __init__(self, what: str, parts: Sequence[tuple[str, int | None]], **options: Any) -> None:
            drawn.extend([what, *(name for name, _ in parts)])
            super().__init__(what, parts, **options)

    monkeypatch.setattr(progress, "is_terminal", lambda _stream: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "BarProgress", Recorded)
    with document.Output().progress(HOSTILE, [(HOSTILE, 1)]):
        pass
    assert drawn == [SHOWN, SHOWN]
