"""The sets of a pipeline over time."""

import pytest

from opstore_cli.evidence.timeline import Timeline
from opstore_daemon.protocol.records import OpVersion, SetChange, SetHistory
from tests.cli.output.fakes import THEN

OPS = ("pca", "forest")


def a_change(position: int, op: str, version: str | None, action: str = "stored") -> SetChange:
    return SetChange(position=position, registered_at=THEN, action=action, op=op, version=version)


def a_timeline(*changes: SetChange, since: int = 0, until: int = 99, **versions: str | None) -> Timeline:
    history = SetHistory(
        pipeline="churn",
        edges=(("pca", "forest"),),
        since=since,
        until=until,
        versions=tuple(OpVersion(op=op, version=version) for op, version in sorted(versions.items())),
        changes=changes,
    )
    return Timeline.of(history, OPS)


@pytest.fixture
def timeline() -> Timeline:
    return a_timeline(
        a_change(3, "pca", "1.0.0"),
        a_change(5, "forest", "1.0.0"),
        a_change(8, "pca", "1.0.1"),
        a_change(9, "pca", "1.0.0", "yanked"),
        pca=None,
        forest=None,
    )


def test_each_change_makes_a_set_in_the_order_of_the_ops(timeline: Timeline) -> None:
    assert [(each.position, " ".join(map(str, each.versions))) for each in timeline.moments] == [
        (0, "pca forest"),
        (3, "pca@1.0.0 forest"),
        (5, "pca@1.0.0 forest@1.0.0"),
        (8, "pca@1.0.1 forest@1.0.0"),
        (9, "pca@1.0.0 forest@1.0.0"),
    ]
    assert timeline.moments[0].change is None
    assert timeline.moments[0].missing == ["pca", "forest"]
    assert timeline.moments[1].missing == ["forest"]


def test_versions_are_found_at_the_newest_position_at_which_they_were_the_latest(timeline: Timeline) -> None:
    assert timeline.last_with({"pca": "1.0.0", "forest": "1.0.0"}) == 99
    assert timeline.last_with({"pca": "1.0.1", "forest": "1.0.0"}) == 8
    assert timeline.last_with({"pca": "1.0.1", "forest": "2.0.0"}) is None


def test_the_nearest_moment_is_the_newest_with_the_fewest_differences(timeline: Timeline) -> None:
    assert timeline.nearest({"pca": "1.0.1", "forest": "2.0.0"}).position == 8
    assert timeline.nearest({"pca": "3.0.0", "forest": "1.0.0"}).position == 9


def test_the_first_and_the_last_complete_moment_are_found(timeline: Timeline) -> None:
    first, last = timeline.first_complete(), timeline.last_complete()
    assert first is not None
    assert last is not None
    assert (first.position, last.position) == (5, 9)
    assert a_timeline(a_change(3, "pca", "1.0.0"), pca=None, forest=None).first_complete() is None


def test_ops_of_another_graph_do_not_count() -> None:
    assert a_timeline(pca="1.0.0", forest="1.0.0", other="1.0.0").moments[0].missing == []
