"""Which word of a command is its script, and the digest of it."""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from opstore_cli.evidence import script
from opstore_cli.evidence.script import Script, named_script, script_of
from opstore_daemon.protocol import errors


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a script, data, a folder, and the programs of two environments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eval.py").write_text("print('ok')\n")
    (tmp_path / "data.csv").write_text("1\n")
    (tmp_path / "tests").mkdir()
    for folder in ("bin", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("check", "python3.12"):
            (tmp_path / folder / name).write_text("#!/bin/sh\n")
            (tmp_path / folder / name).chmod(0o755)
    (tmp_path / ".venv/pyvenv.cfg").write_text("")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "eval.py", "data.csv"], "eval.py"),
        (["python", "-u", "./eval.py"], "./eval.py"),
        (["./eval.py"], "./eval.py"),
        (["bin/check", "data.csv"], "bin/check"),
        ([".venv/bin/check", "eval.py"], "eval.py"),
        (["bin/python3.12", "eval.py"], "eval.py"),
        ([sys.executable, "eval.py"], "eval.py"),
        (["/bin/sh", "eval.py"], "eval.py"),
        (["sh", "-c", "cat eval.py"], None),
        (["python", "-m", "evaluate"], None),
        (["pytest", "tests"], None),
        (["true"], None),
        (["env", "x" * 5000, "/dev/null", "nowhere.py"], None),
    ],
)
def test_the_script_is_the_first_file_that_is_not_the_program(words: list[str], expected: str | None) -> None:
    found = script_of(words)
    assert (None if found is None else found.path) == expected


def test_its_digest_is_that_of_sha256sum() -> None:
    found = script_of(["python", "eval.py"])
    assert found is not None
    assert found.digest.hex == hashlib.sha256(b"print('ok')\n").hexdigest()
    assert not found.has_changed()
    Path("eval.py").write_text("print('no')\n")
    assert found.has_changed()


def test_a_change_is_seen_from_another_folder_and_a_missing_file_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = script_of(["./eval.py"])
    assert found is not None
    monkeypatch.chdir("tests")
    assert not found.has_changed()
    os.remove("../eval.py")
    assert found.has_changed()


def test_a_script_can_be_named() -> None:
    assert named_script("data.csv").path == "data.csv"
    os.mkfifo("pipe")
    for path, reason in (("nowhere", "no such file"), ("tests", "not a file"), ("pipe", "not a file")):
        with pytest.raises(errors.FileRefused, match=reason):
            named_script(path)


def test_a_large_file_is_data_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "MAX_SIZE", 5)
    assert script_of(["python", "eval.py", "data.csv"]) == named_script("data.csv")
    assert isinstance(named_script("eval.py"), Script)
