"""The versions of an op on its page: sorted, filtered, and with their verdicts against the op's neighbours."""

import re
from collections.abc import Iterator

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.store.reports import version_list
from opstore_daemon.web.page import ops
from tests.support.figures import few
from tests.support.site import Site

VERSION = re.compile(r'<th scope="row"><span><a href="/ui/ops/model/([\d.]+)')


@pytest.fixture
def site(memory_server: OpStoreServer) -> Iterator[Site]:
    """Return a signed-in site with four versions of an op, the newest one registered only."""
    store = memory_server.store
    store.push("model", b"four" * 100, message="of March")
    store.push("model", b"four" * 300, bump="minor", labels={"team": "reviews"})
    store.push("model", b"four" * 200, bump="major", message="100% of May")
    store.register("model", fields={"major": {"of": "June"}})
    store.tag("model@1.0.0", "best")
    with Listener(memory_server) as listener:
        found = Site(memory_server, listener)
        found.sign_in()
        yield found


def listed(site: Site, query: str) -> list[str]:
    return VERSION.findall(site.text(f"/ui/ops/model{query}"))


@pytest.mark.parametrize(
    ("query", "numbers"),
    few(
        4,
        [
            ("", "3.0.0 2.0.0 1.1.0 1.0.0"),
            ("?sort=registered", "1.0.0 1.1.0 2.0.0 3.0.0"),
            ("?sort=-version", "3.0.0 2.0.0 1.1.0 1.0.0"),
            ("?sort=size", "3.0.0 1.0.0 2.0.0 1.1.0"),
            ("?sort=-size", "1.1.0 2.0.0 1.0.0 3.0.0"),
            ("?filter=REVIEWS", "1.1.0"),
            ("?filter=team", "1.1.0"),
            ("?filter=march", "1.0.0"),
            ("?filter=%25", "2.0.0"),
            ("?filter=best", "1.0.0"),
            ("?filter=1.", "1.1.0 1.0.0"),
            ("?filter=1.&sort=version", "1.0.0 1.1.0"),
            ("?filter=nothing", ""),
            ("?filter=_", ""),
        ],
    ),
)
def test_versions_are_sorted_and_filtered_by_column(site: Site, query: str, numbers: str) -> None:
    assert listed(site, query) == numbers.split()


def test_a_past_state_is_filtered_by_what_it_had(site: Site) -> None:
    then = site.server.store.show("model@1.1.0").position
    site.server.store.untag("model", "best")
    assert listed(site, f"?filter=1.&as_of={then}") == ["1.1.0", "1.0.0"]
    assert listed(site, f"?filter=best&as_of={then}") == []
    assert listed(site, f"?filter=May&as_of={then}") == []
    assert listed(site, f"?sort=-size&as_of={then}") == ["1.1.0", "1.0.0"]


def test_the_message_of_a_later_push_is_found_from_then_on(site: Site) -> None:
    store = site.server.store
    registered = store.show("model@3.0.0")
    store.push("model", b"bytes", subversions=registered.subversions, message="stored later")
    assert listed(site, "?filter=later") == ["3.0.0"]
    assert listed(site, f"?filter=later&as_of={registered.position}") == []


def test_an_edited_message_is_found_in_place_of_the_earlier_one(site: Site) -> None:
    store = site.server.store
    store.edit("model@3.0.0", message="written in autumn")
    then = store.log(limit=1)[0].position
    store.edit("model@3.0.0", message="written in winter")
    assert listed(site, "?filter=in+winter") == ["3.0.0"]
    assert listed(site, "?filter=in+autumn") == []
    assert listed(site, f"?filter=in+autumn&as_of={then}") == ["3.0.0"]
    assert "written" in site.text("/ui/search?q=in+winter")
    assert "written" not in site.text("/ui/search?q=in+autumn")
    assert "written" in site.text(f"/ui/search?q=in+autumn&as_of={then}")


def test_a_sorted_list_has_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "ROWS", 3)
    first = site.text("/ui/ops/model?sort=version&filter=.")
    assert VERSION.findall(first) == ["1.0.0", "1.1.0", "2.0.0"]
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = site.text("/ui/ops/model" + following[1].replace("&amp;", "&"))
    assert VERSION.findall(second) == ["3.0.0"]
    assert 'rel="next"' not in second
    assert 'rel="prev"' in second


def test_a_sorted_list_reads_a_limited_number_of_versions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_list, "MAX_SCANNED", 2)
    assert listed(site, "?sort=version") == ["2.0.0", "3.0.0"]
    assert listed(site, "?filter=best") == []
    assert "versions are searched and sorted" in site.text("/ui/ops/model?sort=version")
    assert "versions are searched and sorted" not in site.text("/ui/ops/model")


def test_an_unknown_order_is_refused(site: Site) -> None:
    for query in ("sort=name", "sort=--size", "sort=", "page=0", "page=999999"):
        assert site.get(f"/ui/ops/model?{query}").status_code == 400


def test_the_current_order_is_marked_and_reversed_by_a_link(site: Site) -> None:
    body = site.text("/ui/ops/model?sort=-size&filter=1.")
    assert body.count(' aria-sort="') == 1
    assert re.search(r'aria-sort="descending"><a href="\?filter=1.&amp;sort=size">Size', body)
    assert re.search(r'<option value="-size" selected>', body)


def test_each_version_has_its_verdict_with_the_latest_of_each_neighbour(site: Site) -> None:
    store = site.server.store
    store.push("data", b"bytes")
    store.push("data", b"others")
    store.link("data@1.0.1", "model@1.0.0")
    store.link("data@1.0.1", "model@1.1.0", valid=False)
    store.push("service", b"bytes")
    store.link("model@2.0.0", "service@1.0.0")
    body = site.text("/ui/ops/model")
    rows = dict(re.findall(r'<tr><th scope="row"><span><a href="/ui/ops/model/([\d.]+)"(.*?)</tr>', body, re.DOTALL))
    for number, row in rows.items():
        chips = re.findall(r'class="chip ([\w-]+)" href="[^"]+" title="([^"]+)"', row)
        edges = [("data", f"model@{number}"), (f"model@{number}", "service")]
        verdicts = [store.validate(*edge).edges[0] for edge in edges]
        assert [reason for _, reason in chips] == [each.reason for each in verdicts]
        for (look, _), verdict in zip(chips, verdicts, strict=True):
            assert look == (verdict.basis if verdict.verdict == "invalid" else verdict.verdict)
    assert {look for row in rows.values() for look in re.findall(r'class="chip ([\w-]+)"', row)} == {
        "valid",
        "known-invalid",
        "not-validated",
    }


def test_few_neighbours_are_compared_on_the_page_of_an_op(site: Site) -> None:
    store = site.server.store
    names = [f"op{number}" for number in range(version_list.MAX_COMPARED + 1)]
    store.register_pipeline("p", ["model", *names], [("model", name) for name in names])
    body = site.text("/ui/ops/model")
    assert body.count('class="chip ') == 4 * version_list.MAX_COMPARED
    assert "the page of a version has all of them" in body
