"""The ops of `push --all`."""

from pathlib import Path

from tests.cli.folders.trees import make


def test_entries_of_subfolders_are_not_pushed(tmp_path: Path) -> None:
    from opstore_cli.transfer.batch import sources_by_op

    make(tmp_path / "models", {"a.bin": b"", "b": None, "b/c.bin": b""})
    assert sources_by_op(str(tmp_path / "models")) == {
        "a": str(tmp_path / "models/a.bin"),
        "b": str(tmp_path / "models/b"),
    }
