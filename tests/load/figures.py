"""What the tests of load measured, printed also by a run that succeeds."""

import os

import pytest


def report(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Print a line past pytest's capture, with how busy the machine is: figures depend on that."""
    with capsys.disabled():
        print(f"\n{text} [load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors]")  # noqa: T201 - what a long run is for
