"""References: every selector of the contract, their precedence, and invalid ones."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, is_name
from opstore_daemon.protocol.references import (
    DigestPrefix,
    Latest,
    Line,
    Range,
    Reference,
    Selector,
    Tag,
    TagName,
    parse_selector,
)
from opstore_daemon.protocol.versions import HIGHEST, Version, VersionNumber
from tests.support.for_each import for_each

HEX = "0123456789abcdef" * 4

# The table of the contract, row by row, in its order.
ROWS: list[tuple[str, Selector]] = [
    ("latest", Latest()),
    ("1.2.3", VersionNumber(1, 2, 3)),
    ("0.0.0", VersionNumber(0, 0, 0)),
    ("2147483647.0.2147483647", VersionNumber(HIGHEST, 0, HIGHEST)),
    ("1", Line(1, None)),
    ("1.2", Line(1, 2)),
    ("0.0", Line(0, 0)),
    ("2147483647.2147483647", Line(HIGHEST, HIGHEST)),
    ("sha256:" + HEX, DigestPrefix(HEX)),
    ("sha256:01234567", DigestPrefix("01234567")),
    ("aaaa.bbbb.cccc", Version("aaaa", "bbbb", "cccc")),
    (".".join([HEX] * 3), Version(HEX, HEX, HEX)),
    (">=1.2,<2", Range(">=1.2,<2")),
    ("~=1.2", Range("~=1.2")),
    ("~=1.2.3", Range("~=1.2.3")),
    ("==1.2.*", Range("==1.2.*")),
    ("==1.*", Range("==1.*")),
    ("!=1.2.*,>1", Range("!=1.2.*,>1")),
    ("==1.2.3", Range("==1.2.3")),
    ("<=1,!=0.9.1", Range("<=1,!=0.9.1")),
    ("stable", Tag(TagName("stable"))),
    ("v1.2", Tag(TagName("v1.2"))),
    ("1.2.3.4", Tag(TagName("1.2.3.4"))),
    ("1-2", Tag(TagName("1-2"))),
    ("sha256", Tag(TagName("sha256"))),
    ("aaaa.bbbb", Tag(TagName("aaaa.bbbb"))),
    ("latest.1", Tag(TagName("latest.1"))),
]


def test_a_bare_name_selects_the_latest_version() -> None:
    assert Reference.parse("pca") == Reference(OpName("pca"), Latest(), bare=True)


@pytest.mark.parametrize(("text", "selector"), ROWS)
def test_a_selector_is_parsed_by_the_table_of_the_contract(text: str, selector: Selector) -> None:
    reference = Reference.parse(f"pca@{text}")
    assert reference == Reference(OpName("pca"), selector, bare=False)
    assert type(reference.selector) is type(selector)
    assert str(reference) == f"pca@{text}"
    assert parse_selector(text) == selector


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("latest", Latest),  # a legal tag too
        ("1111.2222.3333", VersionNumber),  # three hex subversions too
        ("2024", Line),  # a legal tag too
        ("2024.11", Line),
        ("0000.1111.2222", Version),  # leading zeros: no number; a legal tag too
        ("1111.2222.2147483648", Version),  # above the highest number
        ("1111.2222.3333_now", Version),  # the chariots form; a legal tag too
        ("12345678", Line),  # eight digits of a digest too
        ("01234567", DigestPrefix),  # a leading zero: no number
        ("12345678901", DigestPrefix),  # more than ten digits: no number
        ("deadbeef", Tag),  # the digits of a digest too, if there is no such tag
    ],
)
def test_an_ambiguous_selector_is_the_first_kind_in_the_order_of_the_contract(text: str, kind: type[Selector]) -> None:
    assert type(parse_selector(text)) is kind


@pytest.mark.parametrize("time", ["2020-01-01 10:00:00", "2020-01-01T10:00:00+00:00", "a@b"])
def test_a_selector_in_the_chariots_format_selects_its_version(time: str) -> None:
    reference = Reference.parse(f"pca@aaaa.bbbb.cccc_{time}")
    assert reference.selector == Version("aaaa", "bbbb", "cccc")
    assert isinstance(reference.selector, Version)
    assert reference.selector.creation_time == time
    assert str(reference) == "pca@aaaa.bbbb.cccc"


def test_decimal_subversions_are_not_written_as_a_version_number() -> None:
    reference = Reference.parse("pca@1111.2222.3333_")
    assert str(reference) == "pca@1111.2222.3333_"
    assert Reference.parse(str(reference)) == reference


def test_a_reference_can_be_made_from_an_op_and_a_selector() -> None:
    assert Reference.of("pca", None) == Reference.parse("pca")
    assert Reference.of("pca", "1.2") == Reference.parse("pca@1.2")
    with pytest.raises(errors.InvalidReference, match=r"'pca@x y' is not a reference"):
        Reference.of("pca", "x y")


def test_whitespace_in_a_range_is_ignored() -> None:
    assert parse_selector(">= 1.2 , < 2") == Range(">=1.2,<2")
    assert parse_selector(">=1.2\t,\n<2\n") == Range(">=1.2,<2")


@for_each(
    "selector",
    [
        "",
        " ",
        "@",
        "1@2",
        "latest ",
        "LATEST",
        "Stable",
        "-x",
        "x-",
        "a..b",
        "..",
        "../x",
        "a/b",
        "a b",
        "con",
        "nul.txt",
        "1.2.",
        "1..2",
        "-1",
        "1.2.3\n",
        "1.2.3\x00",
        "1\n",
        "²",
        "1.²",
        "1.2.³",
        "é",
        "x" * 129,
        "sha256:",
        "sha256:0123456",
        "sha256:ABCDEF01",
        "sha256:" + HEX + "0",
        "sha256:0123456g",
        "sha256:01234567\n",
        "sha256: 01234567",
        "SHA256:01234567",
        "sha512:01234567",
        ">",
        ">=",
        ">=1.2,",
        ",>=1.2",
        ">=1,,<2",
        ">=1.2.3.4",
        ">=01",
        ">=1.02",
        ">=v1",
        ">=1a1",
        ">=1.dev0",
        ">=1!2",
        ">=1.2+local",
        ">=-1",
        ">=1.*",
        "~=1",
        "~=1.*",
        "===1.2",
        "=1.2",
        "=>1.2",
        "==1.*.2",
        "==*",
        ">=1 <2",
        ">=1;<2",
        ">=١",
        ">=²",
        "1,2",
        ">=1," * 100 + ">=1",
        "AAAA.bbbb.cccc",
        "aaaa.bbbb.cccc_a\nb",
    ],
)
def test_an_invalid_selector_is_refused(selector: str) -> None:
    with pytest.raises(errors.InvalidReference) as caught:
        Reference.parse(f"pca@{selector}")
    assert caught.value.details["reference"] == f"pca@{selector}"[:300]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "selector", ["١", "١.٢", "١.٢.٣", "1.٢", "１.２.３", "2147483648", "1.2147483648", "9" * 100_000]
)
def test_digits_other_than_ascii_and_too_large_numbers_are_refused(selector: str) -> None:
    with pytest.raises(errors.Refused) as caught:
        Reference.parse(f"pca@{selector}")
    assert len(caught.value.text) < 700


@pytest.mark.parametrize("selector", ["01", "1.02", "01.2.3", "1.2.03", "00"])
def test_a_leading_zero_is_refused_in_a_number_and_in_a_line(selector: str) -> None:
    try:
        read: Selector | None = parse_selector(selector)
    except errors.Refused:
        read = None
    assert not isinstance(read, VersionNumber | Line)


def test_an_invalid_note_in_the_chariots_format_is_refused() -> None:
    for note in ("\x1b[31m", "x" * 65, "\u2028"):
        with pytest.raises(errors.Refused):
            Reference.parse(f"pca@aaaa.bbbb.cccc_{note}")


def test_an_empty_selector_is_reported_as_empty() -> None:
    with pytest.raises(errors.InvalidReference) as caught:
        Reference.parse("pca@")
    assert caught.value.text == "'pca@' is not a reference: the selector after @ is empty"


@pytest.mark.parametrize("name", ["", "RandomForest", "..", "a/b", "con", "é", "x" * 129, "a\x00"])
@pytest.mark.parametrize("rest", ["", "@1.2.3", "@"])
def test_a_reference_needs_a_legal_name(name: str, rest: str) -> None:
    with pytest.raises(errors.InvalidName):
        Reference.parse(name + rest)


# --- properties -------------------------------------------------------------------------------------------------

counts = st.integers(0, HIGHEST)
hexes = st.text("0123456789abcdef", min_size=4, max_size=64)
names = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True).filter(is_name)
dotted = st.lists(counts.map(str), min_size=1, max_size=3).map(".".join)
clauses = st.one_of(
    st.builds(str.__add__, st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), dotted),
    st.builds("~={}.{}".format, counts, counts),
    st.builds("{}{}.*".format, st.sampled_from(["==", "!="]), counts),
)
selectors = st.one_of(
    st.just("latest"),
    dotted,
    st.text("0123456789abcdef", min_size=8, max_size=64).map("sha256:".__add__),
    st.tuples(hexes, hexes, hexes).map(".".join),
    st.lists(clauses, min_size=1, max_size=4).map(",".join),
    names,
)


@given(names, selectors)
def test_parsing_the_text_of_a_reference_returns_an_equal_reference(name: str, selector: str) -> None:
    text = f"{name}@{selector}"
    try:
        reference = Reference.parse(text)
    except errors.InvalidVersion:
        assume(False)  # a tag of digits with leading zeros
    assert str(reference) == text
    assert Reference.parse(str(reference)) == reference
    assert str(Reference.parse(name)) == name


@given(st.text(max_size=20) | st.text("pca@sha256:.,<>=!~*latest01 _\n", max_size=24))
def test_any_text_is_either_parsed_or_refused(text: str) -> None:
    for read in (Reference.parse, lambda selector: Reference.parse("pca@" + selector)):
        try:
            reference = read(text)
        except errors.Refused:
            continue
        assert str(reference).isprintable()
        assert Reference.parse(str(reference)) == reference


# --- tags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["stable", "v1.2", "1.2.3.4", "1-2", "aaaa.bbbb", "latest.1"])
def test_a_name_that_a_reference_parses_as_a_tag_can_be_a_tag(tag: str) -> None:
    assert TagName.parse(tag) == tag


@pytest.mark.parametrize("tag", ["latest", "1.2.3", "1", "2024.11", "aaaa.bbbb.cccc", "01.2.3", "2147483648"])
def test_a_name_that_a_reference_parses_as_another_selector_cannot_be_a_tag(tag: str) -> None:
    with pytest.raises(errors.InvalidTag):
        TagName.parse(tag)


def test_a_tag_needs_a_legal_name() -> None:
    with pytest.raises(errors.InvalidName):
        TagName.parse("V1")
