"""What the tests of load measured, printed also by a run that succeeds."""

import pytest


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a line past pytest's capture."""
    with capsys.disabled():
        print(f"\n{text}")  # noqa: T201 - the summary is what a long run is for
