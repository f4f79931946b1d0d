"""Tables on terminals of any width."""

import pytest

from opstore_daemon.protocol.records import OpRecord, Versions
from tests.cli.output.fakes import Opstore, a_link, a_validation, a_version


@pytest.mark.usefixtures("terminal")
def test_versions_on_a_terminal_are_a_table(opstore: Opstore) -> None:
    found = Versions(op="pca", versions=(a_version(yanked=True, message="one\ntwo"),))
    table = (
        "VERSION             REGISTERED     SIZE  DIGEST        TAGS  MESSAGE\n"
        "pca@1.0.0 (yanked)  2024-05-06  12.3 kB  abababababab        one\n"
    )
    assert opstore("versions", "pca", versions=found) == (0, table, "")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", [60, 70, 80])
def test_a_narrow_terminal_wraps_cells_without_losing_text(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = opstore("links", links=[a_link(evidence="q" * 100)])
    assert (code, out.count("q"), "pca@1.0.0" in out) == (0, 100, True)
    assert max(len(line) for line in out.splitlines()) <= width


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("width", range(40, 120))
def test_tables_of_every_width_keep_all_words_and_identifiers(
    opstore: Opstore, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    reason = "pca 2.0.0 is not validated for random_forest 1.2.0; last validated: 1.2.0 for random_forest 1.2.0"
    found = a_validation("invalid", reason=reason)
    shown = opstore("validate", "churn", validate_pipeline=found)[1]
    words = " ".join(shown.split()).replace(" ", "")
    for word in {*reason.split(), "->"}:
        assert word in words
    links = [a_link(upstream="random_forest", downstream="random_forest_of_may", evidence="as evaluation 17 says")]
    lines = opstore("links", links=links)[1].split()
    assert {"random_forest@1.0.0", "random_forest_of_may", "evaluation"} <= set(lines)


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
    link = "upstream   pca@1.0.0\ndownstream forest\nverdict    ✓ valid\nsince      2024-05-06\n"
    evidence = "evidence   " + "q" * 100 + "\n"
    found = [a_link(), a_link(evidence="q" * 100)]
    assert opstore("links", links=found) == (0, f"{link}\n{link}{evidence}", "")


@pytest.mark.usefixtures("terminal")
def test_colour_is_off_with_no_color_and_on_a_dumb_terminal(opstore: Opstore, monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict(*words: str) -> str:
        return opstore("validate", "churn", *words, validate_pipeline=a_validation("invalid"))[1]

    assert "\x1b" not in verdict()
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31m✗ invalid" in verdict()
    assert "\x1b" not in verdict("--no-color")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in verdict()
    assert "✗ invalid" in verdict()
