"""Links lead somewhere, and every test that a document names exists."""

import re
from pathlib import Path

import pytest

from tests.support.markdown import DOCUMENTS, ROOT, anchors, code_spans, links, name_of, read

# What a class gets by inheritance is looked for in the suite that is shipped.
SUITE = ROOT / "opstore_daemon/savers/conformance"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for link in links(read(path)):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(read(target)), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_named_test_exists(path: Path) -> None:
    for span in code_spans(read(path)):
        if not re.match(r"tests/[\w/]+\.py", span):
            continue
        place, *names = span.split("::")
        assert (ROOT / place).is_file(), span
        text = read(ROOT / place)
        for name in names:
            kind = "class" if name[0].isupper() else "def"
            found = re.search(rf"^\s*{kind} {re.escape(name)}\b", text, re.MULTILINE)
            assert found or (len(names) > 1 and _in_suite(name)), span


def test_every_section_of_the_rules_has_its_tests() -> None:
    tests = dict(_sections(ROOT / "docs/rules-tests.md"))
    sections = _sections(ROOT / "docs/rules.md")
    assert sections
    for (heading, section), (following, _) in zip(sections, [*sections[1:], ("## ", "")], strict=True):
        introduces = heading.startswith("## ") and following.startswith("### ")
        assert introduces or "`tests/" in tests.get(heading, section), heading


def _sections(path: Path) -> list[tuple[str, str]]:
    """Return the headings of the document with the texts below them."""
    _, *pieces = re.split(r"^(#{2,3} .+)$", read(path), flags=re.MULTILINE)
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _in_suite(name: str) -> bool:
    return any(re.search(rf"^\s*def {re.escape(name)}\b", read(path), re.MULTILINE) for path in SUITE.glob("*.py"))


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## Two words", "two-words"),
        ("### `code_with` marks: and, more!", "code_with-marks-and-more"),
        ("# OPSTORE_HOME", "opstore_home"),
    ],
)
def test_an_anchor_is_the_one_that_forges_make(heading: str, anchor: str) -> None:
    assert anchors(f"{heading}\n") == {anchor}


def test_a_repeated_heading_has_two_anchors() -> None:
    assert anchors("# A\n# A\n") == {"a", "a-1"}
