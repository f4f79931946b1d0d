"""Version numbers: a hash keeps its number, and no number is assigned twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import LEVELS, Level
from opstore_daemon.protocol.versions import HIGHEST, VersionNumber
from opstore_daemon.rules.numbering import AssignedNumbers, assign_number
from tests.daemon.rules import oracle
from tests.support.examples import examples

hashes = st.sampled_from(["aaaa", "bbbb", "cccc", "dddd"])
versions = st.lists(st.tuples(hashes, hashes, hashes), min_size=1, max_size=30)


class Counters:
    """The numbers that a store keeps: of each hash, within the levels above it. None is ever deleted."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, ...], dict[str, int]] = {}

    def assigned(self, above: tuple[str, ...], subversion: str) -> AssignedNumbers:
        known = self.numbers.get(above, {})
        return AssignedNumbers(known=known.get(subversion), highest=max(known.values(), default=None))

    def register(self, version: oracle.Subversions) -> VersionNumber:
        major, minor, patch = version
        found = assign_number(
            "pca",
            self.assigned((), major),
            self.assigned((major,), minor),
            self.assigned((major, minor), patch),
        )
        for above, subversion, at in (((), major, 0), ((major,), minor, 1), ((major, minor), patch, 2)):
            self.numbers.setdefault(above, {})[subversion] = found[at]
        return found


@pytest.mark.oracle
@examples(500)
@given(versions)
def test_numbers_agree_with_the_oracle(registered: list[oracle.Subversions]) -> None:
    counters = Counters()
    history: list[oracle.Event] = []
    for version in registered:
        history.append(oracle.Registered("pca", version))
        assert counters.register(version) == oracle.number(history, "pca", version)


@pytest.mark.oracle
@examples(500)
@given(versions)
def test_numbers_are_equal_if_and_only_if_subversions_are(
    registered: list[oracle.Subversions],
) -> None:
    counters = Counters()
    numbers = [counters.register(version) for version in registered]
    for one, number_of_one in zip(registered, numbers, strict=True):
        for other, number_of_other in zip(registered, numbers, strict=True):
            assert (number_of_one == number_of_other) == (one == other)


@given(versions)
def test_majors_count_from_one_minors_and_patches_from_zero_without_gaps(registered: list[oracle.Subversions]) -> None:
    counters = Counters()
    numbers = {counters.register(version) for version in registered}
    majors = {n.major for n in numbers}
    assert majors == set(range(1, len(majors) + 1))
    for major in majors:
        minors = {n.minor for n in numbers if n.major == major}
        assert minors == set(range(len(minors)))
        for minor in minors:
            patches = {n.patch for n in numbers if (n.major, n.minor) == (major, minor)}
            assert patches == set(range(len(patches)))


@given(versions)
def test_later_versions_never_change_a_number(registered: list[oracle.Subversions]) -> None:
    counters = Counters()
    first = [counters.register(version) for version in registered]
    assert [counters.register(version) for version in registered] == first


def test_the_first_version_is_1_0_0() -> None:
    assert assign_number("pca", AssignedNumbers(), AssignedNumbers(), AssignedNumbers()) == VersionNumber(1, 0, 0)


def test_a_value_that_is_set_back_gets_its_old_number() -> None:
    counters = Counters()
    assert counters.register(("aaaa", "aaaa", "aaaa")) == (1, 0, 0)
    assert counters.register(("bbbb", "aaaa", "aaaa")) == (2, 0, 0)
    assert counters.register(("aaaa", "aaaa", "bbbb")) == (1, 0, 1)


def test_the_next_number_follows_the_highest_one_even_if_that_was_removed() -> None:
    assert assign_number(
        "pca", AssignedNumbers(known=3, highest=7), AssignedNumbers(highest=4), AssignedNumbers()
    ) == VersionNumber(3, 5, 0)


@pytest.mark.parametrize("level", LEVELS)
def test_numbers_above_the_limit_are_refused(level: Level) -> None:
    def numbered(at: AssignedNumbers) -> VersionNumber:
        major, minor, patch = (at if one == level else AssignedNumbers() for one in LEVELS)
        return assign_number("pca", major, minor, patch)

    assert numbered(AssignedNumbers(highest=HIGHEST - 1))[LEVELS.index(level)] == HIGHEST == 2**31 - 1
    assert numbered(AssignedNumbers(known=HIGHEST, highest=HIGHEST))[LEVELS.index(level)] == HIGHEST
    with pytest.raises(errors.NumbersExhausted) as caught:
        numbered(AssignedNumbers(highest=HIGHEST))
    assert caught.value.details == {"op": "pca", "level": level}
    assert caught.value.exit_code == 5
