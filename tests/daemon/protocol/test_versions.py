"""Versions and version numbers: parsing, comparing and hashing."""

import copy
import operator
import pickle
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.versions import HIGHEST, SUBVERSIONS_RULE, VERSION_RULE, Place, Version, VersionNumber

subversions = st.text("0123456789abcdef", min_size=4, max_size=64)
counts = st.integers(0, HIGHEST)

# --- numbers ----------------------------------------------------------------------------------------------------


@given(counts, counts, counts)
def test_the_text_of_a_parsed_version_number_is_unchanged(major: int, minor: int, patch: int) -> None:
    number = VersionNumber.parse(f"{major}.{minor}.{patch}")
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
def test_an_invalid_version_number_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(errors.InvalidVersion) as caught:
        VersionNumber.parse(text)
    assert caught.value.details == {"text": text, "rule": VERSION_RULE}


def test_the_highest_number_is_2_to_the_31_minus_1() -> None:
    assert HIGHEST == 2**31 - 1 == 2147483647
    assert VersionNumber.parse("2147483647.2147483647.2147483647") == (HIGHEST, HIGHEST, HIGHEST)
    for text in ("2147483648.0.0", "1.2147483648.0", "1.0.2147483648"):
        with pytest.raises(errors.InvalidVersion):
            VersionNumber.parse(text)


def test_a_number_of_very_many_digits_is_refused_and_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidVersion) as caught:
        VersionNumber.parse("1.0." + "9" * 100_000)
    assert len(caught.value.text) < 500


def test_numbers_compare_as_integers() -> None:
    assert VersionNumber.parse("1.10.0") > VersionNumber.parse("1.9.9")
    assert VersionNumber.parse("10.0.0") > VersionNumber.parse("9.0.0")
    assert max(map(VersionNumber.parse, ["1.2.3", "1.2.10", "1.2.9"])) == (1, 2, 10)


# --- versions ---------------------------------------------------------------------------------------------------


@given(subversions, subversions, subversions)
def test_the_text_of_a_parsed_version_is_unchanged(major: str, minor: str, patch: str) -> None:
    version = Version.parse(f"{major}.{minor}.{patch}")
    assert version.subversions == (major, minor, patch) == (version.major, version.minor, version.patch)
    assert str(version) == f"{major}.{minor}.{patch}"
    assert version.creation_time is None


@pytest.mark.parametrize("time", ["2020-01-01 10:00:00", "2020-01-01T10:00:00.123456+00:00", "x_y", "1.2.3", "@"])
def test_the_chariots_format_is_parsed_with_its_time_as_a_note(time: str) -> None:
    version = Version.parse(f"aaaa.bbbb.cccc_{time}")
    assert version == Version("aaaa", "bbbb", "cccc")
    assert version.creation_time == time
    assert str(version) == "aaaa.bbbb.cccc"


def test_the_note_of_the_chariots_format_is_ignored_in_comparisons() -> None:
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
def test_an_invalid_version_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(errors.InvalidSubversions) as caught:
        Version.parse(text)
    assert caught.value.details["rule"] == SUBVERSIONS_RULE


def test_a_subversion_has_4_to_64_digits() -> None:
    assert Version("a" * 4, "b" * 64, "c" * 4).minor == "b" * 64
    for wrong in ("a" * 3, "a" * 65, "", "aaaa\n"):
        with pytest.raises(errors.InvalidSubversions):
            Version("aaaa", "aaaa", wrong)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(errors.InvalidSubversions) as caught:
        Version.parse("a" * 100_000)
    assert len(caught.value.text) < 600


def test_versions_are_equal_if_all_three_subversions_are() -> None:
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
    assert pickle.loads(pickle.dumps(VersionNumber(1, 2, 3))) == VersionNumber(1, 2, 3)  # noqa: S301


def test_a_version_shows_its_text() -> None:
    assert repr(Version("aaaa", "bbbb", "cccc")) == "Version('aaaa.bbbb.cccc')"


# --- versions with and without a store ----------------------------------------------------------------------------


def stored(sequence: int, patch: str, op: str = "pca", store: str = "local") -> Version:
    return Version("aaaa", "bbbb", patch, place=Place(store, op, sequence))


def test_versions_of_one_op_in_one_store_are_ordered() -> None:
    old, new = stored(1, "ffff"), stored(2, "0000")
    assert new > old
    assert new >= old
    assert old < new
    assert old <= new
    assert not old > new
    assert not old >= new
    assert max(old, new) == max(new, old) == new
    assert sorted([new, old]) == [old, new]


def test_equal_versions_are_neither_older_nor_newer() -> None:
    foreign = SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc")
    mine = stored(1, "cccc")
    for twin in (mine, Version("aaaa", "bbbb", "cccc"), stored(9, "cccc", store="other"), foreign):
        assert not mine > twin
        assert not mine < twin
        assert mine >= twin
        assert mine <= twin


@pytest.mark.parametrize(
    "other",
    [
        Version("aaaa", "bbbb", "0000"),
        Version("aaaa", "bbbb", "0000", creation_time="2020-01-01 10:00:00"),
        stored(2, "0000", op="lda"),
        stored(2, "0000", store="elsewhere"),
        SimpleNamespace(major="aaaa", minor="bbbb", patch="0000", creation_time=7),
        SimpleNamespace(major="aaaa", minor="bbbb", patch="0000", place=7),
    ],
    ids=["parsed", "noted", "another op", "another store", "foreign", "a stranger's place"],
)
def test_versions_without_a_common_order_cannot_be_compared(other: Any) -> None:
    mine = stored(1, "cccc")
    for compare in (operator.gt, operator.lt, operator.ge, operator.le):
        with pytest.raises(
            TypeError, match=r"can't compare Version\('aaaa.bbbb.cccc'\) with .*: only versions of one op"
        ):
            compare(mine, other)
    with pytest.raises(TypeError, match="can't compare"):
        max([mine, other])


@pytest.mark.parametrize("stranger", [None, 1, "aaaa.bbbb.cccc", object()])
def test_a_version_cannot_be_compared_with_other_objects(stranger: object) -> None:
    with pytest.raises(TypeError, match="not supported between"):
        stored(1, "cccc") > stranger  # noqa: B015


def test_a_pickled_version_of_a_store_keeps_its_order() -> None:
    assert pickle.loads(pickle.dumps(stored(1, "ffff"))) < stored(2, "0000")  # noqa: S301


def test_a_version_can_be_made_from_a_text_or_an_object_with_three_subversions() -> None:
    time = datetime.fromisoformat("2020-01-01 10:00:00.5")
    foreign = SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc", creation_time=time)
    mine = stored(1, "cccc")
    assert Version.of(mine) is mine
    assert Version.of("aaaa.bbbb.cccc_x").text_with_time == "aaaa.bbbb.cccc_x"
    assert Version.of(foreign).text_with_time == "aaaa.bbbb.cccc_2020-01-01 10:00:00.500000"
    assert Version.of(SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc")).text_with_time == "aaaa.bbbb.cccc"
    assert Version.parse(Version.of(foreign).text_with_time) == foreign
    for wrong in (None, 7, "", VersionNumber(1, 2, 3), SimpleNamespace(major="aaaa"), ("aaaa", "bbbb", "cccc")):
        with pytest.raises(errors.InvalidSubversions):
            Version.of(wrong)
    with pytest.raises(errors.InvalidSubversions):
        Version.of(SimpleNamespace(major="aaaa", minor="bbbb", patch="cccc", creation_time="\x1b[31m"))


def test_sets_of_versions_equal_sets_of_foreign_objects_with_the_same_hash() -> None:
    class Foreign:
        def __init__(self, major: str, minor: str, patch: str) -> None:
            self.major, self.minor, self.patch = major, minor, patch

        def __eq__(self, other: Any) -> bool:
            return bool((self.major, self.minor, self.patch) == (other.major, other.minor, other.patch))

        def __hash__(self) -> int:
            return hash((self.major, self.minor, self.patch))

    theirs: set[Any] = {Foreign(major="aaaa", minor="bbbb", patch=patch) for patch in ("cccc", "dddd")}
    ours: set[Any] = {Version("aaaa", "bbbb", "dddd"), Version("aaaa", "bbbb", "cccc")}
    assert ours == theirs
    assert theirs == ours
    assert ours - theirs == theirs - ours == set()
    assert {Version.of(each) for each in theirs} == ours
