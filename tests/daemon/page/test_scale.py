"""The cost of a view, in statements and in steps of SQLite, does not grow with the store."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks import page
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import routes
from opstore_daemon.store.reports import overview, version_list
from tests.daemon.page import stores
from tests.daemon.store.test_scale import steps
from tests.support.figures import few
from tests.support.places import LocalPlace

SMALL, LARGE = 400, 8000  # versions of each op
HOST = {"Host": "127.0.0.1:80"}

VIEWS = {
    **page.VIEWS,
    "older versions": "/ui/ops/upstream?below=60",
    "old version": "/ui/ops/upstream/1.0.0",
    "journal of an op": "/ui/journal?name=upstream",
    "search for most of a digest": "/ui/search?q=sha256:000000000000000000000000000000010000",
    "sorted versions": "/ui/ops/upstream?sort=-size&filter=1",
    "sorted versions as they were": "/ui/ops/upstream?sort=version&filter=1&as_of={then}",
    "search as it was": "/ui/search?q=stream&as_of={then}",
    "matrix as it was": "/ui/matrix/upstream/downstream?as_of={then}",
    "journal as it was": "/ui/journal?as_of={then}",
}
MOST_STATEMENTS = 40


def cost(server: OpStoreServer, path: str, versions: int) -> tuple[int, int]:
    """Return the steps of SQLite's virtual machine that a view takes, and its statements."""
    path = path.format(then=versions + 60)  # all of the one op, and 60 of the other
    browser = server.flask.test_client()
    bearer = {**HOST, "Authorization": f"Bearer {server.token}"}
    browser.get(browser.post(routes.SESSIONS, headers=bearer).json["path"], headers=HOST)  # type: ignore[index]

    def look(_store: object) -> None:
        response = browser.get(path, headers=HOST)
        assert response.status_code == 200, response.text

    return steps(server, look)


@pytest.fixture(scope="module")
def small() -> Iterator[OpStoreServer]:
    with closing(stores.server(LocalPlace())) as server:
        stores.many_versions(server, SMALL)
        yield server


@pytest.fixture(scope="module")
def large() -> Iterator[OpStoreServer]:
    with closing(stores.server(LocalPlace())) as server:
        stores.many_versions(server, LARGE)
        yield server


@pytest.fixture(autouse=True)
def few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a search read fewer messages and labels than the small store has: it stops at a limit."""
    monkeypatch.setattr(overview, "MAX_SEARCHED", SMALL)
    monkeypatch.setattr(version_list, "MAX_SCANNED", SMALL)


@pytest.mark.parametrize("view", few(6, VIEWS))
def test_a_view_costs_no_more_in_a_store_of_twenty_times_as_many_versions(
    small: OpStoreServer, large: OpStoreServer, view: str
) -> None:
    few_steps, few_statements = cost(small, VIEWS[view], SMALL)
    many_steps, many_statements = cost(large, VIEWS[view], LARGE)
    assert many_statements <= few_statements + 2
    assert many_statements <= MOST_STATEMENTS
    assert many_steps <= 1.5 * few_steps + 500, f"{many_steps} steps, not {few_steps}"
