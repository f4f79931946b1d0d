"""The libraries of a version are compared to those of an environment, and the format says how bad a difference is."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from opstore_cli.objects import environment, formats
from opstore_cli.objects.environment import Environment

SAVED = {
    "python": "3.12.4", "scikit-learn": "1.4.2", "skops": "0.13.0", "joblib": "1.4.2", "numpy": "1.26.4",
    "scipy": "1.13.0", "cloudpickle": "3.1.0", "xgboost": "2.1.3",
}  # fmt: skip


def severity(format_name: str | None, library: str, *found: str, complete: bool = True) -> str | None:
    """Return how bad it is if the environment has these versions of the library: exact ones, or specifiers."""
    versions = tuple(SpecifierSet(each) if each == "" or each[0] in "=<>~!" else each for each in found)
    asked: list[str] = []

    def lookup(name: str) -> tuple[str | SpecifierSet, ...]:
        asked.append(name)
        return versions

    different = environment.compare(Environment("it", lookup, complete), format_name, {library: SAVED[library]})
    assert asked == [library]
    return different[0].severity if different else None


def test_every_format_says_which_libraries_it_needs() -> None:
    assert set(formats.FORMATS) == set(environment.FILE_FORMATS) | environment.CLASS_FORMATS


@pytest.mark.parametrize(
    ("format_name", "library", "found", "expected"),
    [
        ("skops", "scikit-learn", "1.4.2", None),
        ("skops", "scikit-learn", "1.4.2.0", None),
        ("skops", "scikit-learn", "1.4.3", "warning"),
        ("skops", "scikit-learn", "1.4.2.post1", "warning"),
        ("skops", "scikit-learn", "1.5.0", "invalid"),
        ("skops", "scikit-learn", "1.3.9", "invalid"),
        ("skops", "scikit-learn", "2.4.2", "invalid"),
        ("skops", "scikit-learn", "1!1.4.2", "invalid"),
        ("skops", "scikit-learn", "1", "invalid"),
        ("skops", "scikit-learn", "weekly", "invalid"),
        ("skops", "skops", "0.14.0", "invalid"),
        ("skops", "numpy", "2.1.0", "warning"),
        ("skops", "numpy", "weekly", "warning"),
        ("skops", "xgboost", "2.2.0", "invalid"),
        ("skops", "python", "3.12.9", None),
        ("skops", "python", "3.11.4", "warning"),
        ("joblib", "scikit-learn", "1.5.0", "invalid"),
        ("joblib", "joblib", "1.5.0", "invalid"),
        ("joblib", "numpy", "1.25.0", "warning"),
        ("joblib", "numpy", "2.0.0", "invalid"),
        ("pickle", "scipy", "1.14.0", "warning"),
        ("pickle", "python", "3.11.4", "warning"),
        ("cloudpickle", "python", "3.11.4", "invalid"),
        ("cloudpickle", "python", "3.12.0", None),
        ("xgboost", "xgboost", "2.1.9", "warning"),
        ("xgboost", "xgboost", "2.2.0", "invalid"),
        ("numpy", "numpy", "2.0.0", "invalid"),
        ("safetensors", "numpy", "2.0.0", "warning"),
        ("json", "numpy", "2.0.0", "warning"),
        ("folder", "scikit-learn", "1.5.0", "invalid"),
        (None, "scikit-learn", "1.5.0", "invalid"),
        (None, "scikit-learn", "1.4.0", "warning"),
    ],
)
def test_another_minor_version_of_a_library_that_the_format_needs_is_invalid_and_others_warn(
    format_name: str | None, library: str, found: str, expected: str | None
) -> None:
    assert severity(format_name, library, found) == expected


@pytest.mark.parametrize(
    ("library", "allowed", "expected"),
    [
        ("scikit-learn", ">=1.5", "invalid"),
        ("scikit-learn", "==1.5.*", "invalid"),
        ("scikit-learn", "<1.4", "invalid"),
        ("scikit-learn", ">1.9,<1.10", "invalid"),
        ("scikit-learn", ">=1.4", "unknown"),
        ("scikit-learn", "<=1.4.2", "unknown"),
        ("scikit-learn", "!=1.4.2", "unknown"),
        ("scikit-learn", "~=1.4", "unknown"),
        ("scikit-learn", ">=1.4,<1.5.1", "unknown"),
        ("scikit-learn", ">=1.3.9999,<1.5", "unknown"),
        ("scikit-learn", "", "unknown"),
        ("scikit-learn", "===weekly", "unknown"),
        ("scikit-learn", ">=2,<1", "unknown"),
        ("scikit-learn", "~=1.4.0", None),
        ("scikit-learn", "==1.4.*", None),
        ("scikit-learn", ">=1.4,<1.5", None),
        ("scikit-learn", ">=1.4.3,<1.5", "warning"),
        ("numpy", ">=1.26", None),
        ("numpy", ">=2", "warning"),
        ("numpy", "", None),
        ("python", ">=3.11", None),
        ("python", ">=3.13", "warning"),
        ("python", "==3.12.*", None),
    ],
)
def test_a_range_is_invalid_or_fine_only_if_every_version_in_it_is(
    library: str, allowed: str, expected: str | None
) -> None:
    assert severity("skops", library, allowed) == expected


VERSIONS = [".".join(map(str, each)) for each in itertools.product(range(4), repeat=3)]
SPECIFIERS = st.builds(
    lambda operator, version, stars: f"{operator}{version}" + (".*" if stars and operator in ("==", "!=") else ""),
    st.sampled_from(["==", "!=", ">=", "<=", ">", "<", "~="]),
    st.sampled_from([*VERSIONS, *{each.rpartition(".")[0] for each in VERSIONS}]),
    st.booleans(),
)


@pytest.mark.oracle
@given(st.lists(SPECIFIERS, min_size=1, max_size=4), st.sampled_from(VERSIONS), st.sampled_from([1, 2, None]))
@example([">1.1,<1.2"], "1.1.0", 2)
@example(["~=1.2.1", "!=1.2.2"], "1.2.2", 2)
@example(["!=0.2.2", "<=0.2.2"], "0.2.0", 2)
@example(["!=1.*", "!=2.*", "!=0.*"], "3.1.0", 1)
def test_no_version_that_a_range_allows_is_overlooked(texts: list[str], recorded: str, depth: int | None) -> None:
    allowed = SpecifierSet(",".join(texts))
    every = {environment._relation(each, recorded, depth, False) for each in VERSIONS if allowed.contains(each)}
    assert every <= environment._relations([allowed], recorded, depth, only_minor=False)


def test_a_missing_library_is_invalid_and_one_that_is_not_named_may_have_any_version() -> None:
    for library in ("scikit-learn", "numpy"):
        assert severity("skops", library) == "invalid"
        assert severity("json", library) == "warning"
    assert severity("skops", "scikit-learn", complete=False) == "unknown"
    assert severity("skops", "numpy", complete=False) is None
    assert severity("cloudpickle", "python", complete=False) == "unknown"
    assert severity("skops", "python", complete=False) is None


def test_a_library_with_one_of_several_versions_is_as_good_as_all_of_them() -> None:
    assert severity("skops", "scikit-learn", "1.4.2", "1.4.3") is None
    assert severity("skops", "scikit-learn", "1.4.3", "1.4.4") == "warning"
    assert severity("skops", "scikit-learn", "1.4.2", "1.5.0") == "unknown"
    assert severity("skops", "scikit-learn", "1.5.0", "1.6.0") == "invalid"
    assert severity("skops", "scikit-learn", "1.5.0", "==1.4.*") == "unknown"


def test_the_worst_difference_comes_first_and_says_what_the_environment_has() -> None:
    there: dict[str, tuple[str | SpecifierSet, ...]] = {
        "numpy": ("1.26.5",),
        "scikit-learn": (SpecifierSet(">=1.5"),),
        "my-lib": ("1.0", "2.0"),
    }
    recorded = {"numpy": "1.26.4", "scikit-learn": "1.4.2", "My_Lib": "1.0", "left": "1"}
    found = environment.compare(Environment("it", lambda name: there.get(name, ())), "skops", recorded)
    assert [(each.library, each.severity, each.found, each.detail) for each in found] == [
        ("left", "invalid", None, "does not have it"),
        ("scikit-learn", "invalid", ">=1.5", "allows >=1.5"),
        ("My_Lib", "unknown", "1.0 or 2.0", "has 1.0 or 2.0"),
        ("numpy", "warning", "1.26.5", "has 1.26.5"),
    ]
