"""Pages whose work does not grow without a limit: large pipelines, many of them, and long texts."""

from collections.abc import Iterator

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes
from opstore_daemon.store.reports import overview
from opstore_daemon.web.page.graph_drawing import MAX_BOXES
from tests.support.site import Site


@pytest.fixture
def site(memory_server: OpStoreServer) -> Iterator[Site]:
    """Return a signed-in site."""
    with Listener(memory_server) as listener:
        found = Site(memory_server, listener)
        found.sign_in()
        yield found


def test_a_pipeline_that_is_too_large_to_draw_is_a_table(site: Site) -> None:
    ops = [f"op{place:03d}" for place in range(MAX_BOXES + 1)]
    site.server.store.register_pipeline("large", ops)
    page = site.text("/ui/pipelines/large")
    assert f"too large to draw: {len(ops)} ops, {len(ops) - 1} edges" in page
    assert "<svg viewBox" not in page
    assert all(op in page for op in ops)
    site.server.store.register_pipeline("small", ops[:10])
    assert "<svg viewBox" in site.text("/ui/pipelines/small")


def test_a_list_of_pipelines_has_fewer_lines_if_they_have_many_edges(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MAX_EDGES", 10)
    for name, edges in (("p1", 4), ("p2", 6), ("p3", 30), ("p4", 1)):
        site.server.store.register_pipeline(name, [f"op{place}" for place in range(edges + 1)])
    pages = {"": ("p1", "p2"), "p2": ("p3",), "p3": ("p4",)}
    for after, names in pages.items():
        page = site.text(f"/ui/pipelines?after={after}")
        assert [name for name in ("p1", "p2", "p3", "p4") if f'href="/ui/pipelines/{name}"' in page] == list(names)
        assert (f"after={names[-1]}" in page) == (names[-1] != "p4"), "a link to the next page"


def test_an_op_and_a_version_have_the_first_of_many_neighbours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = site.server.store
    store.push("hub", b"bytes")
    names = [f"op{place}" for place in range(6)]
    store.register_pipeline("p", ["hub", *names], [("hub", name) for name in names])
    pages = (
        routes.path(routes.OP_PAGE, op="hub"),
        routes.path(routes.VERSION_PAGE, op="hub", selector="1.0.0"),
    )
    for most in (5, 6):
        monkeypatch.setattr(overview, "MAX_NEIGHBOURS", most)
        for page in map(site.text, pages):
            assert [name for name in names if f'href="/ui/ops/{name}' in page] == names[:most]
            assert ("There are more" in page) == (most == 5)


def test_a_version_with_many_tags_and_labels_shows_the_first(site: Site) -> None:
    store = site.server.store
    store.push("op", b"x", labels={f"k{number}": "v" for number in range(9)})
    for number in range(60):
        store.tag("op", f"tag{number:02}")
    page = site.text("/ui/ops/op")
    row = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert (row.count('class="tag"'), row.count('class="label"')) == (6, 4)
    assert "and 54 more" in row
    assert "and 5 more" in row
    assert "and 10 more" in page.partition("</tbody>")[2]
    version = site.text("/ui/ops/op/1.0.0")
    assert (version.count('class="tag"'), "and 10 more" in version) == (50, True)


def test_a_search_for_a_long_text_finds_nothing(site: Site) -> None:
    site.server.store.register_pipeline("p", ["a", "b"])
    for text in ("_" * 31_000, "a" * 31_000, "%25" * 10_000, "a" * 501):
        assert "/ui/ops/a" not in site.text(f"/ui/search?q={text}")
