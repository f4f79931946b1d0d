"""The pager: what is longer than the screen, and only that, and only for a person at a terminal."""

from pathlib import Path
from typing import Any

import pytest

from opstore_cli.console import results
from opstore_cli.main import main
from opstore_cli.output import pager
from opstore_daemon.protocol.records import JournalEntry, Versions
from tests.cli.output.fakes import THEN, FakeClient, FakeSession, Opstore, a_link, a_validation, a_version

pytestmark = pytest.mark.usefixtures("terminal")
MANY = [a_link(upstream=f"op{number}") for number in range(300)]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A person at a terminal of 20 lines, whose pager writes to this file."""
    path = tmp_path / "shown"
    monkeypatch.setattr(pager, "_can_page", lambda: True)
    monkeypatch.delenv("OPSTORE_PAGER", raising=False)
    monkeypatch.setenv("PAGER", f"cat > '{path}'")
    monkeypatch.setenv("LINES", "20")
    return path


def test_a_table_longer_than_the_screen_goes_to_the_pager(opstore: Opstore, shown: Path) -> None:
    assert opstore("links", links=MANY) == (0, "", "")
    assert len(shown.read_text().splitlines()) == 301


@pytest.mark.parametrize("command", ["log", "versions"])
def test_a_person_gets_the_newest_rows_of_an_endless_list_and_how_to_see_more(
    opstore: Opstore, shown: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(results, "MOST_ROWS", 30)
    entries = [JournalEntry(position=100 - place, registered_at=THEN, action="stored") for place in range(31)]
    listed = Versions(op="pca", versions=(a_version(),) * 31)
    found: dict[str, Any] = {"log": entries, "versions": listed}
    note = f"only the newest 30 are shown; for more: opstore {command} pca --limit N\n"
    assert opstore(command, "pca", **found) == (0, "", note)
    assert len(shown.read_text().splitlines()) == 31
    assert opstore(command, "pca", "--limit", "31", **found) == (0, "", "")
    assert len(shown.read_text().splitlines()) == 32
    assert len(opstore(command, "pca", "-q", **found)[1].splitlines()) == 31


@pytest.mark.parametrize("words", [(), ("-q",), ("--json",), ("--limit", "31")])
def test_only_a_person_who_gave_no_limit_gets_fewer_rows(shown: Path, words: tuple[str, ...]) -> None:
    session = FakeSession()
    session.fake = FakeClient({"log": []})
    assert main(["log", *words], session) == 0
    limit = {(): results.MOST_ROWS + 1, ("--limit", "31"): 31}.get(words)
    assert session.fake.calls == [("log", None, {"limit": limit})]


def test_a_short_table_and_json_and_identifiers_do_not(opstore: Opstore, shown: Path) -> None:
    assert len(opstore("links", links=MANY[:18])[1].splitlines()) == 19
    assert len(opstore("links", "-q", links=MANY)[1].splitlines()) == 300
    assert opstore("links", "--json", links=MANY)[1].startswith("{")
    assert not shown.exists()


@pytest.mark.parametrize("command", ["", "cat", " cat ", "/nowhere/pager --of-mine"])
def test_without_a_pager_the_table_is_printed(
    opstore: Opstore, shown: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("OPSTORE_PAGER", command)
    assert len(opstore("links", links=MANY)[1].splitlines()) == 301
    assert not shown.exists()


@pytest.mark.slow
def test_a_pager_that_is_closed_early_keeps_the_exit_code(
    opstore: Opstore, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", f"head -n 1 > '{shown}'; exit 3")
    assert opstore("links", links=MANY) == (0, "", "")
    long = a_validation("invalid", reason="word " * 40_000)
    assert opstore("validate", "churn", validate_pipeline=long)[:2] == (1, "")
    assert shown.read_text().count("\n") == 1


def test_less_ends_by_itself_if_all_fits_and_shows_colours(monkeypatch: pytest.MonkeyPatch, shown: Path) -> None:
    monkeypatch.setenv("PAGER", f"echo $LESS > '{shown}'")
    monkeypatch.delenv("LESS", raising=False)
    assert pager.show("x\n" * 30, 80)
    assert shown.read_text() == "FRX\n"
    monkeypatch.setenv("LESS", "S")
    assert pager.show("x\n" * 30, 80)
    assert shown.read_text() == "S\n"


def test_lines_that_the_terminal_wraps_count_as_several(shown: Path) -> None:
    assert not pager.show("x" * 80 * 19 + "\n", 80)
    assert pager.show("x" * 80 * 20 + "\n", 80)
    assert pager.show("語" * 40 * 20 + "\n", 80)


def test_nothing_is_paged_off_a_terminal(monkeypatch: pytest.MonkeyPatch, shown: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PAGER", f"cat > '{shown}'")
    assert not pager.show("x\n" * 2000, 80)
    assert not shown.exists()
