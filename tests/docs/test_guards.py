"""The list of guards matches the code, and its document matches the list. `make guards` checks that each test fails."""

import ast
import re
from collections import Counter

import pytest

from tests.support.for_each import for_each
from tests.support.markdown import ROOT, read
from tools.guards import DOCUMENT, Guard, document, every_guard

GUARDS = every_guard()
FILES = sorted({guard.file for guard in GUARDS})
SUITE = "\n".join(read(path) for path in (ROOT / "opstore_daemon/savers/conformance").glob("*.py"))


@for_each("file", FILES)
def test_a_guard_is_in_its_file_once_and_the_rest_still_parses(file: str) -> None:
    source = read(ROOT / file)
    for guard in GUARDS:
        if guard.file == file:
            without = guard.taken_out(source)
            assert without != source, guard.title
            parse(changed_part(source, without), without)


def changed_part(source: str, without: str) -> str:
    """Return the functions, or the statements outside of them, that differ from those in the source."""
    before, after = (
        re.split(r"^(?=\w|@|    (?:@|def |async def ))", text, flags=re.MULTILINE) for text in (source, without)
    )
    first, last = 0, 0
    while before[first] == after[first]:
        first += 1
    while before[last - 1] == after[last - 1] and first - last < min(len(before), len(after)):
        last -= 1
    part = "".join(after[first : last or None])
    return f"if True:\n{part}" if part.startswith("    ") else part


def parse(part: str, whole: str) -> None:
    """Parse a part, which takes a fifth of the time, and the whole only if it can't be parsed by itself."""
    try:
        ast.parse(part)
    except SyntaxError:
        ast.parse(whole)


def test_a_text_that_occurs_never_or_twice_is_refused() -> None:
    guard = Guard("area", "title", "file.py", "guard()", "pass", ())
    assert guard.taken_out("a\nguard()\nb") == "a\npass\nb"
    for source in ("", "guard()\nguard()"):
        with pytest.raises(ValueError, match="not once"):
            guard.taken_out(source)


def test_every_guard_names_existing_tests() -> None:
    for guard in GUARDS:
        assert guard.tests, guard.title
        for test in guard.tests:
            place, *_, name = test.split("::")
            told = read(ROOT / place) + (SUITE if place == "tests/daemon/savers/test_savers.py" else "")
            assert re.search(rf"^\s*def {re.escape(name.partition('[')[0])}\(", told, re.MULTILINE), test


def test_every_guard_has_a_unique_title_that_fits_into_a_table() -> None:
    titles = Counter(guard.title for guard in GUARDS)
    assert [title for title, count in titles.items() if count > 1] == []
    assert [title for title in titles if "|" in title or "\n" in title] == []


def test_the_document_is_up_to_date() -> None:
    assert read(DOCUMENT) == document(GUARDS), "run: python tools/guards.py --write"
