"""Verdicts compared with the oracle, rule by rule, and the text of their reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from opstore_daemon.protocol.records import Compat, VerdictWord, combine
from opstore_daemon.protocol.versions import VersionNumber
from opstore_daemon.rules.verdict import EdgeLinks, LinkInForce, Verdict, line
from tests.daemon.rules import oracle
from tests.daemon.rules.histories import LEVELS, OPS, histories, in_force, numbers
from tests.support.examples import examples


@dataclass(frozen=True)
class Edge:
    """An edge, the versions in question (None: the op has no version), and the level of the upstream op."""

    upstream_op: str
    upstream: VersionNumber | None
    downstream_op: str
    downstream: VersionNumber | None
    compat: Compat


def verdict(of: Edge, links: Sequence[LinkInForce]) -> Verdict:
    edge_links = EdgeLinks(of.upstream_op, of.downstream_op, of.compat, links)
    result = edge_links.verdict(of.upstream, of.downstream)
    assert of.upstream is None or edge_links.is_valid(of.upstream, of.downstream) == (result.word == "valid")
    return result


# --- against the oracle -----------------------------------------------------------------------------------------


@pytest.mark.oracle
@examples(2000)
@given(histories)
def test_verdicts_of_all_pairs_of_versions_agree_with_the_oracle(history: list[oracle.Event]) -> None:
    for up in OPS:
        for down in OPS:
            if up == down:
                continue
            found = in_force(history, up, down)
            downs = numbers(history, down)
            for u, upstream in numbers(history, up).items():
                for d in [None, *downs]:
                    downstream = None if d is None else downs[d]
                    edge = Edge(up, upstream, down, downstream, oracle.level(history, up))
                    result = verdict(edge, found)
                    assert (result.word, result.basis) == (
                        oracle.verdict(history, up, u, down, d),
                        oracle.basis(history, up, u, down, d),
                    )
                    assert result.reason.strip()


# --- the four rules and their reasons ---------------------------------------------------------------------------

U = VersionNumber(1, 4, 2)
D = VersionNumber(2, 0, 1)


def edge(upstream: VersionNumber | None = U, downstream: VersionNumber | None = D, compat: Compat = "major") -> Edge:
    return Edge("pca", upstream, "random_forest", downstream, compat)


def entry(upstream: str, downstream: str | None, valid: bool = True, position: int = 1) -> LinkInForce:
    return LinkInForce(
        VersionNumber.parse(upstream), VersionNumber.parse(downstream) if downstream else None, valid, position
    )


def outcome(of: Edge, *entries: LinkInForce) -> tuple[VerdictWord, str]:
    result = verdict(of, entries)
    return result.word, result.reason


def test_rule_1_an_entry_for_exactly_both_versions_decides() -> None:
    assert outcome(edge(), entry("1.4.2", "2.0.1")) == ("valid", "pca 1.4.2 is valid for random_forest 2.0.1")
    assert outcome(edge(), entry("1.4.2", "2.0.1", valid=False)) == (
        "invalid",
        "pca 1.4.2 is known not to be valid for random_forest 2.0.1",
    )


def test_rule_1_else_an_entry_for_the_downstream_op_decides() -> None:
    assert outcome(edge(), entry("1.4.2", None)) == ("valid", "pca 1.4.2 is valid for any version of random_forest")
    assert outcome(edge(), entry("1.4.2", None, valid=False)) == (
        "invalid",
        "pca 1.4.2 is known not to be valid for any version of random_forest",
    )


def test_rule_1_the_entry_for_both_versions_wins_over_the_one_for_the_op_whichever_is_newer() -> None:
    for exact_position, op_position in ((1, 2), (2, 1)):
        exact = entry("1.4.2", "2.0.1", valid=False, position=exact_position)
        for_op = entry("1.4.2", None, valid=True, position=op_position)
        assert outcome(edge(), exact, for_op)[0] == "invalid"
        assert outcome(edge(), replace(exact, valid=True), replace(for_op, valid=False))[0] == "valid"


def test_rule_1_a_known_invalid_version_stays_invalid_beside_a_compatible_valid_one() -> None:
    assert outcome(edge(), entry("1.4.2", None, valid=False), entry("1.4.1", "2.0.1", position=2))[0] == "invalid"


def test_rule_2_a_compatible_valid_version_makes_it_valid() -> None:
    assert outcome(edge(), entry("1.0.0", "2.0.1")) == (
        "valid",
        "pca 1.4.2 is compatible (major) with 1.0.0, which is valid for random_forest 2.0.1",
    )
    assert outcome(edge(compat="minor"), entry("1.4.0", None)) == (
        "valid",
        "pca 1.4.2 is compatible (minor) with 1.4.0, which is valid for any version of random_forest",
    )


def test_rule_2_ignores_incompatible_versions_and_links_for_other_downstream_versions() -> None:
    assert outcome(edge(), entry("2.0.0", "2.0.1"))[0] == "invalid"
    assert outcome(edge(compat="minor"), entry("1.3.0", "2.0.1"))[0] == "invalid"
    assert outcome(edge(compat="exact"), entry("1.4.1", "2.0.1"))[0] == "invalid"
    assert outcome(edge(), entry("1.0.0", "2.0.0"))[0] == "invalid"


def test_rule_2_does_not_spread_invalid_entries() -> None:
    assert outcome(edge(), entry("1.4.1", "2.0.1", valid=False))[0] == "unknown"


def test_rule_2_without_a_downstream_version_only_links_for_the_op_count() -> None:
    assert outcome(edge(downstream=None), entry("1.4.2", "2.0.1"))[0] == "invalid"
    assert outcome(edge(downstream=None), entry("1.4.2", None))[0] == "valid"
    assert outcome(edge(downstream=None), entry("1.0.0", None))[0] == "valid"


def test_rule_3_names_what_was_validated_last() -> None:
    older, newer = entry("2.0.0", None, position=3), entry("3.1.0", "2.0.0", position=8)
    expected = "pca 1.4.2 is not validated for random_forest 2.0.1; last validated: 3.1.0 for random_forest 2.0.0"
    assert outcome(edge(), older, newer) == ("invalid", expected)
    assert outcome(edge(), newer, older) == ("invalid", expected)
    assert outcome(edge(downstream=None), older) == (
        "invalid",
        "pca 1.4.2 is not validated for random_forest; last validated: 2.0.0 for any version of random_forest",
    )


def test_rule_4_without_a_valid_link_it_is_unknown() -> None:
    assert outcome(edge()) == ("unknown", "no link says whether pca 1.4.2 is valid for random_forest 2.0.1")
    assert outcome(edge(downstream=None)) == ("unknown", "no link says whether pca 1.4.2 is valid for random_forest")
    assert outcome(edge(), entry("2.0.0", "2.0.1", valid=False))[0] == "unknown"


def test_an_op_without_a_version_is_unknown() -> None:
    assert outcome(edge(upstream=None)) == ("unknown", "pca has no version")


# --- compatibility ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compat", "one", "other", "expected"),
    [
        ("major", "1.0.0", "1.4.2", True),
        ("major", "1.0.0", "2.0.0", False),
        ("minor", "1.4.0", "1.4.2", True),
        ("minor", "1.4.2", "1.0.0", False),
        ("minor", "1.4.2", "2.4.2", False),
        ("exact", "1.4.2", "1.4.2", True),
        ("exact", "1.4.2", "1.4.1", False),
    ],
)
def test_compatible_versions_share_the_number_down_to_the_level(
    compat: Compat, one: str, other: str, expected: bool
) -> None:
    assert (line(VersionNumber.parse(one), compat) == line(VersionNumber.parse(other), compat)) is expected


def test_the_line_is_what_compatible_versions_share() -> None:
    assert [line(U, compat) for compat in LEVELS] == [(1,), (1, 4), (1, 4, 2)]


# --- properties -------------------------------------------------------------------------------------------------

few = st.integers(0, 1)
few_numbers = st.builds(VersionNumber, st.integers(1, 2), few, few)
targets = st.none() | few_numbers
edges = st.builds(Edge, st.just("pca"), few_numbers, st.just("random_forest"), targets, st.sampled_from(LEVELS))
some_links = st.dictionaries(st.tuples(few_numbers, targets), st.booleans(), max_size=6)
words: st.SearchStrategy[list[VerdictWord]] = st.lists(st.sampled_from(["valid", "invalid", "unknown"]), max_size=6)


def as_links(found: dict[tuple[VersionNumber, VersionNumber | None], bool]) -> list[LinkInForce]:
    return [LinkInForce(u, d, valid, position) for position, ((u, d), valid) in enumerate(found.items(), start=1)]


@examples(500)
@given(edges, some_links, few_numbers, targets)
def test_another_valid_link_never_makes_a_valid_version_invalid(
    of: Edge, found: dict[tuple[VersionNumber, VersionNumber | None], bool], u: VersionNumber, d: VersionNumber | None
) -> None:
    if verdict(of, as_links(found)).word == "valid":
        more = {key: valid for key, valid in found.items() if key != (u, d)} | {(u, d): True}
        assert verdict(of, as_links(more)).word == "valid"


@examples(500)
@given(edges, some_links)
def test_invalid_entries_for_other_versions_change_nothing(
    of: Edge, found: dict[tuple[VersionNumber, VersionNumber | None], bool]
) -> None:
    kept = {(u, d): valid for (u, d), valid in found.items() if valid or u == of.upstream}
    assert verdict(of, as_links(found)).word == verdict(of, as_links(kept)).word


@examples(500)
@given(edges, some_links, st.randoms(use_true_random=False))
def test_verdict_and_reason_do_not_depend_on_the_order_of_links(
    of: Edge, found: dict[tuple[VersionNumber, VersionNumber | None], bool], chance: Random
) -> None:
    links = as_links(found)
    shuffled = sorted(links, key=lambda _: chance.random())
    assert verdict(of, shuffled) == verdict(of, links)


@pytest.mark.oracle
@given(words)
def test_verdicts_over_several_edges_agree_with_the_oracle(found: list[VerdictWord]) -> None:
    assert combine(found) == oracle.over_all(found)


@given(words)
def test_an_unknown_edge_never_hides_an_invalid_one(found: list[VerdictWord]) -> None:
    assert combine([*found, "invalid", "unknown"]) == "invalid"
    assert combine(["unknown", *found]) != "valid"


@given(words, st.integers(0, 6))
def test_another_unknown_edge_never_changes_an_invalid_verdict(found: list[VerdictWord], place: int) -> None:
    if combine(found) == "invalid":
        assert combine([*found[:place], "unknown", *found[place:]]) == "invalid"


def test_no_edges_are_valid() -> None:
    assert combine([]) == "valid"


# --- the oracle itself ------------------------------------------------------------------------------------------


def test_in_the_oracle_a_removal_revokes_links_and_a_yank_does_not() -> None:
    one, other = ("aaaa", "aaaa", "aaaa"), ("bbbb", "aaaa", "aaaa")
    history: list[oracle.Event] = [
        oracle.Registered("a", one),
        oracle.Registered("b", other),
        oracle.Linked("a", one, "b", other, "valid"),
    ]
    assert oracle.verdict(history, "a", one, "b", other) == "valid"
    assert oracle.verdict([*history, oracle.Yanked("a", one)], "a", one, "b", other) == "valid"
    assert oracle.verdict([*history, oracle.Removed("a", one)], "a", one, "b", other) == "unknown"
    assert oracle.verdict([*history, oracle.Removed("b", other)], "a", one, "b", other) == "unknown"


def test_in_the_oracle_a_change_of_level_counts_from_its_position_on() -> None:
    one, other = ("aaaa", "aaaa", "aaaa"), ("aaaa", "bbbb", "aaaa")
    history: list[oracle.Event] = [
        oracle.Registered("a", one),
        oracle.Registered("a", other),
        oracle.Linked("a", one, "b", None, "valid"),
    ]
    assert oracle.verdict(history, "a", other, "b", None) == "invalid"
    history.append(oracle.LevelSet("a", "major"))
    assert oracle.verdict(history, "a", other, "b", None) == "valid"
    history.append(oracle.LevelSet("a", "minor"))
    assert oracle.verdict(history, "a", other, "b", None) == "invalid"


def test_in_the_oracle_the_latest_is_the_newest_stored_version_that_is_not_yanked() -> None:
    one, two, three = ("aaaa", "aaaa", "aaaa"), ("bbbb", "aaaa", "aaaa"), ("aaaa", "aaaa", "bbbb")
    history: list[oracle.Event] = [oracle.Registered("a", version, stored=True) for version in (one, two, three)]
    assert oracle.latest(history, "a") == three
    assert oracle.number(history, "a", three) == (1, 0, 1)  # newer than 2.0.0
    assert oracle.latest([*history, oracle.Registered("a", ("cccc",) * 3)], "a") == three
    assert oracle.latest([*history, oracle.Yanked("a", three)], "a") == two
    assert oracle.latest([*history, oracle.Yanked("a", three), oracle.Yanked("a", three, back=True)], "a") == three
    assert oracle.latest([*history, oracle.Removed("a", three)], "a") == two
    assert oracle.latest([], "a") is None
