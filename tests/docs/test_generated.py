"""The generated parts of the documents are up to date."""

import inspect
from pathlib import Path

import msgspec
import pytest

from opstore_cli.main import BROKEN_PIPE, INTERRUPTED
from opstore_daemon.protocol import errors, records
from tests.support.markdown import DOCS, ROOT, name_of, read
from tools import generate

GENERATED = dict(generate.generated())


@pytest.mark.parametrize("path", GENERATED, ids=name_of)
def test_generated_parts_are_up_to_date(path: Path) -> None:
    assert path.exists(), f"run: {generate.COMMAND}"
    # Not one assert on two long texts: the difference would fill the screen.
    up_to_date = read(path) == GENERATED[path]
    assert up_to_date, f"{name_of(path)} differs from the code: run: {generate.COMMAND}"


def test_every_part_that_can_be_generated_is_in_a_document() -> None:
    text = "".join(map(read, DOCS))
    for name in generate.PARTS:
        assert f"<!-- generated: {name} -->" in text, name
    assert text.count("<!-- generated: ") == text.count("<!-- end: ")


def test_every_exit_code_has_its_meaning() -> None:
    of_errors = {error.exit_code for error in errors.all_errors()}
    assert set(generate.EXIT_CODES) == {0, INTERRUPTED, BROKEN_PIPE} | of_errors


def test_every_record_is_in_the_tables() -> None:
    defined = {
        value for value in vars(records).values() if inspect.isclass(value) and issubclass(value, msgspec.Struct)
    }
    assert sorted(map(str, generate.every_record())) == sorted(map(str, defined - {records.Record, records.Request}))


def test_no_help_text_depends_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = generate.command_help()
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert generate.command_help() == wanted


def test_the_generator_finds_the_repository() -> None:
    assert generate.ROOT == ROOT
