"""Tables on terminals of any width."""

import pytest
from rich.cells import cell_len

from opstore_cli.output import tables
from opstore_cli.output.tables import Table
from opstore_cli.output.width import wrap
from opstore_daemon.protocol.records import OpRecord, Versions
from tests.cli.output.fakes import Opstore, a_link, a_validation, a_version


@pytest.mark.usefixtures("terminal")
def test_versions_on_a_terminal_are_a_table(opstore: Opstore) -> None:
    found = Versions(op="pca", versions=(a_version(yanked=True, message="one\ntwo"),))
    table = (
        "VERSION             REGISTERED     SIZE  DIGEST        MESSAGE\n"
        "pca@1.0.0 (yanked)  2024-05-06  12.3 kB  abababababab  one\n"
    )
    assert opstore("versions", "pca", versions=found) == (0, table, "")


LONG = "random_forest_with_a_long_name"
WIDE = "日本語のメッセージ" * 9


def shown_at(width: int, opstore: Opstore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines of tables with long cells on a terminal of that width."""
    monkeypatch.setenv("COLUMNS", str(width))
    versions = (a_version(message=WIDE, tags=("production", "best", "candidate-7")), a_version(yanked=True))
    reason = "pca 2.0.0 is not validated for random_forest 1.2.0; last validated: 1.2.0 for random_forest 1.2.0"
    return [
        *opstore("versions", "pca", versions=Versions(op="pca", versions=versions))[1].splitlines(),
        *opstore("links", links=[a_link(upstream=LONG, downstream=f"{LONG}_of_may", evidence="q" * 99)])[
            1
        ].splitlines(),
        *opstore("validate", "churn", validate_pipeline=a_validation("invalid", reason=reason))[1].splitlines(),
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [60, 61, 79, 80, 81, 100, 120, 200])
def test_long_cells_are_shortened_to_the_width_of_the_terminal(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = shown_at(width, opstore, monkeypatch)
    assert max(map(cell_len, lines)) <= width
    headers = [line for line in lines if line.startswith(("VERSION", "UPSTREAM", "EDGE"))]
    assert len(headers) == 3
    assert not any(line.startswith(("version ", "upstream ")) for line in lines)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", range(40, 121, 5))
def test_a_reason_is_folded_and_never_shortened(opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    reason = "pca 2.0.0 is not validated for random_forest 1.2.0; last validated: 1.2.0 for random_forest 1.2.0"
    found = a_validation("invalid", reason=reason)
    shown = opstore("validate", "churn", validate_pipeline=found)[1].split()
    assert set(reason.split()) <= set(shown)


def test_names_lose_their_middle_texts_their_end_and_digests_their_last_digits() -> None:
    rows = [
        [f"{LONG}@12.3.4", "2 days ago", "870 MB", "abcdef012345", "production, best", "Retrained on the data of May"]
    ]
    table = Table(("VERSION", "REGISTERED", "SIZE", "DIGEST", "TAGS", "MESSAGE"), rows)
    assert tables.format_columns(table, 80, colored=False).splitlines()[1] == (
        "random_forest…_name@12.3.4  2 days ago  870 MB  abcdef01  productio…  Retrained…"
    )
    edges = Table(
        ("EDGE", "VERDICT"), [[f"{LONG}@1.0.0 -> pca@2.0.0", "✓ valid"], [f"{LONG}@1.0.0 -> {LONG}@2.0.0", "x"]]
    )
    assert tables.format_columns(edges, 50, colored=False).splitlines()[1:] == [
        "random_forest_…ng_name@1.0.0 -> pca@2.0.0  ✓ valid",
        "random_fo…me@1.0.0 -> random_fo…ame@2.0.0  x",
    ]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_dumb_terminal_has_its_own_width_too(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    line = ["x" * 60, "✓ valid", "y" * 60]
    shown = tables.format_columns(Table(("EDGE", "VERDICT", "REASON"), [line]), 140, colored=False)
    assert shown.splitlines()[1] == "  ".join(line)


def test_values_beside_names_are_wrapped_at_words_and_never_broken() -> None:
    table = Table(("", ""), [["digest", "sha256:" + "ab" * 32], ["message", "a long message " * 6]])
    assert tables.format_columns(table, 60, colored=False).splitlines() == [
        "digest   sha256:" + "ab" * 32,
        "message  a long message a long message a long message a long",
        "         message a long message a long message",
    ]
    assert tables.format_columns(table, 20, colored=False).splitlines()[:3] == [
        "digest",
        "    sha256:" + "ab" * 32,
        "message",
    ]


REASON = "pca 2.0.0 is not validated for random_forest 1.2.0; last validated: 1.2.0 for random_forest 1.2.0"


@pytest.mark.parametrize("width", [60, 80])
def test_a_reason_without_room_beside_the_edge_has_the_whole_width_below_it(width: int) -> None:
    rows = [["pca@2.0.0 -> random_forest@1.2.0", "○ invalid", "not-validated", REASON]]
    table = Table(("EDGE", "VERDICT", "BASIS", "REASON"), rows)
    header, edge, *reason = tables.format_columns(table, width, colored=False).splitlines()
    assert header.split() == ["EDGE", "VERDICT", "BASIS"]
    assert edge.split("  ") == rows[0][:3]
    assert reason == [f"    {line}" for line in wrap(REASON, width - 4)]
    assert tables.format_columns(table, 170, colored=False).splitlines()[1].endswith(f"not-validated  {REASON}")


def test_what_to_do_is_below_what_was_found_and_its_command_is_whole() -> None:
    command = f"opstore login https://{'models.' * 8}example.com"
    rows = [
        ["home", "✓ ok", "it can be written", ""],
        ["url", "✗ finding", "not trusted " * 5, f"{command}, if you trust it"],
    ]
    shown = tables.format_columns(Table(("CHECK", "", "FOUND", "WHAT TO DO"), rows), 70, colored=False)
    assert shown.splitlines()[:2] == ["CHECK             FOUND", "home   ✓ ok       it can be written"]
    assert shown.splitlines()[-3:] == ["    what to do:", f"    {command},", "    if you trust it"]


@pytest.mark.usefixtures("terminal")
def test_an_empty_list_says_none_on_a_terminal(opstore: Opstore) -> None:
    for word in ("links", "tags"):
        assert opstore(word, **{word: []}) == (0, "", "none\n")
        assert opstore(word, "-q", **{word: []}) == (0, "", "")
        assert opstore(word, "--json", **{word: []})[2] == ""


def test_an_empty_list_is_silent_off_a_terminal(opstore: Opstore) -> None:
    assert opstore("links", links=[]) == (0, "", "")


@pytest.mark.usefixtures("terminal")
def test_numbers_are_right_aligned(opstore: Opstore) -> None:
    ops = [OpRecord(name="pca", latest="1.0.0", versions=count, compat="major") for count in (2, 12345)]
    table = "OP   LATEST  VERSIONS  COMPAT\npca  1.0.0          2  major\npca  1.0.0      12345  major\n"
    assert opstore("ops", ops=ops) == (0, table, "")


@pytest.mark.usefixtures("terminal")
def test_a_terminal_too_narrow_for_a_table_gets_one_line_per_cell(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    link = "upstream   pca@1.0.0\ndownstream forest@any\nverdict    ✓ valid\nsince      2024-05-06\n"
    evidence = "evidence   " + "q" * 100 + "\n"
    found = [a_link(), a_link(evidence="q" * 100)]
    assert opstore("links", links=found) == (0, f"{link}\n{link}{evidence}", "")


@pytest.mark.usefixtures("terminal")
def test_colour_is_off_with_no_color_and_on_a_dumb_terminal(opstore: Opstore, monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*words: str) -> str:
        return opstore("validate", "churn", *words, validate_pipeline=a_validation("invalid"))[1]

    assert "\x1b" not in verdict()
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31m○ invalid" in verdict()
    assert "\x1b" not in verdict("--no-color")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in verdict()
    assert "○ invalid" in verdict()
