"""Versions and numbers: how they are read, compared and hashed."""

import copy
import pickle
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.versions import HIGHEST, NUMBER_RULE, VERSION_RULE, Number, Version

subversions = st.text("0123456789abcdef", min_size=4, max_size=64)
counts = st.integers(0, HIGHEST)

# --- numbers ----------------------------------------------------------------------------------------------------


@given(counts, counts, counts)
def test_a_number_reads_as_it_is_written(major: int, minor: int, patch: int) -> None:
    number = Number.parse(f"{major}.{minor}.{patch}")
    assert number == (major, minor, patch)
    assert str(number) == f"{major}.{minor}.{patch}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "01.2.3",
        "1.02.3",
        "1.2.03",
        "00.0.0",
        "1.2.",
        ".1.2",
        "1..2",
        "-1.2.3",
        "+1.2.3",
        "1.2.3 ",
        " 1.2.3",
        "1.2.3\n",
        "1.2.3\x00",
        "1 .2.3",
        "1_0.2.3",
        "1,2,3",
        "v1.2.3",
        "0x1.2.3",
        "1e3.0.0",
        "a.b.c",
        "1.2.3a",
        "١.٢.٣",  # Arabic-Indic
        "1.2.٣",
        "१.२.३",  # Devanagari
        "１.２.３",  # full-width
        "1.2.³",
        "¹.2.3",
        "1.2.Ⅲ",
        "1.2.3\u200b",
    ],
)
def test_what_is_not_a_number_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(errors.InvalidNumber) as caught:
        Number.parse(text)
    assert caught.value.details == {"text": text, "rule": NUMBER_RULE}


def test_the_highest_number_is_2_to_the_31_less_1() -> None:
    assert HIGHEST == 2**31 - 1 == 2147483647
    assert Number.parse("2147483647.2147483647.2147483647") == (HIGHEST, HIGHEST, HIGHEST)
    for text in ("2147483648.0.0", "1.2147483648.0", "1.0.2147483648"):
        with pytest.raises(errors.InvalidNumber):
            Number.parse(text)


def test_a_number_of_very_many_digits_is_refused_and_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidNumber) as caught:
        Number.parse("1.0." + "9" * 100_000)
    assert len(caught.value.text) < 500


def test_numbers_compare_as_integers() -> None:
    assert Number.parse("1.10.0") > Number.parse("1.9.9")
    assert Number.parse("10.0.0") > Number.parse("9.0.0")
    assert max(map(Number.parse, ["1.2.3", "1.2.10", "1.2.9"])) == (1, 2, 10)


# --- versions ---------------------------------------------------------------------------------------------------


@given(subversions, subversions, subversions)
def test_a_version_reads_as_it_is_written(major: str, minor: str, patch: str) -> None:
    version = Version.parse(f"{major}.{minor}.{patch}")
    assert version.subversions == (major, minor, patch) == (version.major, version.minor, version.patch)
    assert str(version) == f"{major}.{minor}.{patch}"
    assert version.creation_time is None


@pytest.mark.parametrize("time", ["2020-01-01 10:00:00", "2020-01-01T10:00:00.123456+00:00", "x_y", "1.2.3", "@"])
def test_the_chariots_form_is_read_and_its_time_kept_as_a_note(time: str) -> None:
    version = Version.parse(f"aaaa.bbbb.cccc_{time}")
    assert version == Version("aaaa", "bbbb", "cccc")
    assert version.creation_time == time
    assert str(version) == "aaaa.bbbb.cccc"


def test_the_note_of_the_chariots_form_is_no_part_of_the_version() -> None:
    noted = Version.parse("aaaa.bbbb.cccc_2020-01-01 10:00:00")
    bare = Version.parse("aaaa.bbbb.cccc")
    assert noted == bare
    assert hash(noted) == hash(bare)
    assert len({noted, bare}) == 1


def test_an_empty_note_is_none() -> None:
    assert Version.parse("aaaa.bbbb.cccc_").creation_time is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aaaa",
        "aaaa.bbbb",
        "aaaa.bbbb.cccc.dddd",
        "aaa.bbbb.cccc",
        "aaaa.bbb.cccc",
        "aaaa.bbbb.ccc",
        "AAAA.bbbb.cccc",
        "aaaa.bbbb.gggg",
        "aaaa..cccc",
        "aaaa.bbbb.",
        " aaaa.bbbb.cccc",
        "aaaa.bbbb.cccc ",
        "aaaa.bbbb.cccc\n",
        "aaaa.bbbb.cccc\x00",
        "0xaa.bbbb.cccc",
        "١٢٣٤.bbbb.cccc",
        "ａａａａ.bbbb.cccc",
        "aaaa-bbbb-cccc",
        "a" * 65 + ".bbbb.cccc",
        "aaaa.bbbb.cccc_a\nb",
        "aaaa.bbbb.cccc_\x1b[31m",
        "aaaa.bbbb.cccc_\x00",
        "aaaa.bbbb.cccc_" + "x" * 65,
    ],
)
def test_what_is_not_a_version_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(errors.InvalidVersion) as caught:
        Version.parse(text)
    assert caught.value.details["rule"] == VERSION_RULE


def test_a_subversion_has_4_to_64_digits() -> None:
    assert Version("a" * 4, "b" * 64, "c" * 4).minor == "b" * 64
    for wrong in ("a" * 3, "a" * 65, "", "aaaa\n"):
        with pytest.raises(errors.InvalidVersion):
            Version("aaaa", "aaaa", wrong)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidVersion) as caught:
        Version.parse("a" * 100_000)
    assert len(caught.value.text) < 600


def test_versions_are_equal_when_all_three_subversions_are() -> None:
    version = Version("aaaa", "bbbb", "cccc")
    assert version == Version("aaaa", "bbbb", "cccc", creation_time="now")
    assert version != Version("dddd", "bbbb", "cccc")
    assert version != Version("aaaa", "dddd", "cccc")
    assert version != Version("aaaa", "bbbb", "dddd")


def test_a_version_equals_any_object_with_the_same_three_subversions_from_either_side() -> None:
    version = Version("aaaa", "bbbb", "cccc")
    foreign = SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc", creation_time=7)
    other = SimpleNamespace(major="aaaa", minor="bbbb", patch="dddd")
    assert version == foreign
    assert foreign == version
    assert version != other
    assert other != version


@pytest.mark.parametrize("stranger", [None, 1, "aaaa.bbbb.cccc", ("aaaa", "bbbb", "cccc"), object()])
def test_a_version_equals_nothing_that_has_no_subversions(stranger: object) -> None:
    assert Version("aaaa", "bbbb", "cccc") != stranger
    assert stranger != Version("aaaa", "bbbb", "cccc")


@given(subversions, subversions, subversions)
def test_the_hash_is_that_of_the_three_subversions(major: str, minor: str, patch: str) -> None:
    assert hash(Version(major, minor, patch)) == hash((major, minor, patch))


@given(subversions, subversions, subversions, st.none() | st.just("2020-01-01 10:00:00"))
def test_versions_and_numbers_can_be_pickled_and_copied(major: str, minor: str, patch: str, time: str | None) -> None:
    version = Version(major, minor, patch, creation_time=time)
    for twin in (pickle.loads(pickle.dumps(version)), copy.deepcopy(version)):  # noqa: S301
        assert twin == version
        assert twin.creation_time == time
    assert pickle.loads(pickle.dumps(Number(1, 2, 3))) == Number(1, 2, 3)  # noqa: S301


def test_a_version_shows_its_text() -> None:
    assert repr(Version("aaaa", "bbbb", "cccc")) == "Version('aaaa.bbbb.cccc')"
