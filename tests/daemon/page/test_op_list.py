"""The ops on the overview, sorted and filtered by column."""

import re
from collections.abc import Iterator

import pytest

from opstore_daemon.http_server.listener import Listener
from opstore_daemon.store.catalog import ops as catalog
from opstore_daemon.store.catalog.ops import OpLine
from opstore_daemon.store.reports import op_list
from opstore_daemon.store.snapshot import Snapshot
from opstore_daemon.web.page import ops
from tests.daemon.page.stores import server
from tests.support.places import Place
from tests.support.site import Site

OP = re.compile(r'<tr><th scope="row"><a href="/ui/ops/([\w.]+)')


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    """Return a signed-in site with four ops, one of them without a version."""
    made = server(place)
    store = made.store
    store.push("scaler", b"x" * 300)
    store.push("pca", b"x" * 100)
    store.push("pca", b"x" * 200)
    store.push("forest", b"")
    store.register_pipeline("p", ["pca", "empty"])
    with Listener(made) as listener:
        found = Site(made, listener)
        found.sign_in()
        yield found
    made.close()


def listed(site: Site, query: str) -> list[str]:
    return OP.findall(site.text(f"/{query}"))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "empty forest pca scaler"),
        ("?sort=-name", "scaler pca forest empty"),
        ("?sort=registered", "empty scaler pca forest"),
        ("?sort=-registered", "forest pca scaler empty"),
        ("?sort=size", "empty forest pca scaler"),
        ("?sort=-size", "scaler pca forest empty"),
        ("?sort=-versions&filter=c", "pca scaler"),
        ("?filter=CA", "pca scaler"),
        ("?filter=ca&sort=-name", "scaler pca"),
        ("?filter=%25", ""),
    ],
)
def test_ops_are_sorted_and_filtered_by_column(site: Site, query: str, names: str) -> None:
    assert listed(site, query) == names.split()


def test_a_past_state_is_sorted_as_it_was(site: Site) -> None:
    then = site.server.store.show("pca@1.0.0").position
    assert listed(site, f"?sort=-registered&as_of={then}") == ["pca", "scaler"]


def test_a_sorted_list_of_ops_has_pages(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "ROWS", 3)
    first = site.text("/?sort=-name")
    assert OP.findall(first) == ["scaler", "pca", "forest"]
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = site.text("/" + following[1].replace("&amp;", "&"))
    assert (OP.findall(second), 'rel="next"' in second) == (["empty"], False)


def test_a_limited_number_of_ops_is_sorted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read = catalog.lines
    counts = []

    def read_counted(snapshot: Snapshot, after: str, limit: int) -> list[OpLine]:
        lines = read(snapshot, after, limit)
        counts.append(len(lines))
        return lines

    monkeypatch.setattr(catalog, "lines", read_counted)
    monkeypatch.setattr(op_list, "MAX_SORTED", 2)
    assert listed(site, "?sort=-name") == ["forest", "empty"]
    assert counts == [3]
    monkeypatch.setattr(op_list, "MAX_SORTED", 3)
    assert listed(site, "?sort=-name") == ["pca", "forest", "empty"]
    assert "ops by name are searched and sorted" in site.text("/?sort=-name")
    monkeypatch.setattr(op_list, "MAX_SORTED", 4)
    assert "ops by name are searched and sorted" not in site.text("/?sort=-name")


def test_an_unknown_order_of_ops_is_refused(site: Site) -> None:
    for query in ("sort=digest", "sort=", "page=0", "page=9999"):
        assert site.get(f"/?{query}").status_code == 400
