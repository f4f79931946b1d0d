"""The ends of a bisection on the command line: lock files, positions and times."""

from pathlib import Path

import click
import pytest

from opstore_cli.commands.bisect import bisect
from opstore_cli.console.session import Session
from opstore_cli.evidence.end_text import parse_end
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.times import AsOf


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_path_that_exists_is_a_file_whatever_else_it_could_be(folder: Path) -> None:
    (folder / "12").touch()
    (folder / "yesterday").symlink_to("nowhere")
    (folder / "13").mkdir()

    assert parse_end("12") == Path("12")
    assert parse_end("yesterday") == Path("yesterday")
    assert parse_end("13") == AsOf("13")
    assert parse_end("2026-03-01T12:00:00Z") == AsOf("2026-03-01T12:00:00Z")
    with pytest.raises(errors.InvalidRequest, match=r"'14\.lock' is neither a lock file that exists nor a position"):
        parse_end("14.lock")


def test_files_and_times_are_completed() -> None:
    option = next(each for each in bisect.params if each.name == "good")
    with click.Context(bisect, obj=Session()) as ctx:
        found = option.shell_complete(ctx, "")
    assert "file" in [each.type for each in found]
    assert "yesterday" in [each.value for each in found]
