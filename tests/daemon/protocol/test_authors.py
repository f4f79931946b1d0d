"""Authors, and their form in a header (RFC 9651, section 3.3.8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.authors import MAX_AUTHOR, from_header, is_author, to_header

FORMS = {
    "ana@laptop": "ana@laptop",
    "Ana <ana@example.org>": "Ana <ana@example.org>",
    'Ana "A" 100%': 'Ana "A" 100%',
    "Zoë": '%"Zo%c3%ab"',
    'Zoë "Z" 100%': '%"Zo%c3%ab %22Z%22 100%25"',
    '%"Ana"': '%"%25%22Ana%22"',  # ASCII that would read as the other form
    "x" * MAX_AUTHOR: "x" * MAX_AUTHOR,
}


@pytest.mark.parametrize(("author", "value"), FORMS.items(), ids=lambda text: text[:20])
def test_the_form_in_a_header(author: str, value: str) -> None:
    assert (to_header(author), from_header(value)) == (value, author)


@given(st.text(max_size=2 * MAX_AUTHOR))
def test_any_author_comes_back_from_its_header_in_ascii(text: str) -> None:
    if is_author(text):
        value = to_header(text)
        assert value.isascii()
        assert value.isprintable()
        assert from_header(value) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "Zoë",
        "a\tb",
        "a\x1b[2J",
        "x" * (MAX_AUTHOR + 1),
        '%"',
        '%""',
        '%"a',
        '%"a" ',
        '%"a",%"b"',
        '%"a%C3%AB"',  # upper-case digits
        '%"a%c3"',  # not UTF-8
        '%"a%ed%a0%80"',  # a surrogate
        '%"a%0a"',
        '%"a%e2%80%ae"',  # turns the direction of what follows
        '%"%20a"',
        '%"a%"',
    ],
)
def test_a_header_without_an_author_is_refused(value: str) -> None:
    assert from_header(value) is None
