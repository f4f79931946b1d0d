"""Fixtures of the tests of the page: a listening server, and a browser that has a session."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from tests.daemon.page import browser, stores
from tests.support.places import Place
from tests.support.site import Site

if TYPE_CHECKING:  # each worker of the tests reads this file, and one needs a browser
    from playwright.sync_api import Browser, Page


def _serve(stack: ExitStack, server: OpStoreServer, fill: Callable[[OpStoreServer], object] | None = None) -> Site:
    stack.enter_context(closing(server))
    if fill is not None:
        fill(server)  # before it listens: the listener reads the test's clock too, which advances with each read
    site = Site(server, stack.enter_context(Listener(server)))
    stack.enter_context(site.browser)
    return site


def _few_and_hostile(server: OpStoreServer) -> None:
    stores.few(server.store)
    stores.folders(server.store)
    stores.hostile(server.store)
    stores.runs(server.store)
    stores.hostile_run(server.store)
    stores.bisection(server.store)


@pytest.fixture
def site(place: Place) -> Iterator[Site]:
    """Return the site of an empty store."""
    with ExitStack() as stack:
        yield _serve(stack, stores.server(place))


@pytest.fixture(scope="session")
def few(lasting_place: Place) -> Iterator[Site]:
    """Return the site of a store with a few weeks of history and hostile text, with a session. No test changes it."""
    with ExitStack() as stack:
        found = _serve(stack, stores.server(lasting_place), _few_and_hostile)
        found.sign_in()
        yield found


@pytest.fixture(scope="session")
def many_ops(lasting_place: Place) -> Iterator[Site]:
    """Return the site of a store of 500 ops and a pipeline of all of them."""
    with ExitStack() as stack:
        yield _serve(stack, stores.server(lasting_place), lambda server: stores.many_ops(server.store, 500))


@pytest.fixture(scope="session")
def many_versions(lasting_place: Place) -> Iterator[Site]:
    """Return the site of a store with 100,000 versions of an op."""
    with ExitStack() as stack:
        yield _serve(stack, stores.server(lasting_place), lambda server: stores.many_versions(server, 100_000))


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """Return a browser. Tests are skipped if the system has none, except in CI, which installs one."""
    if browser.CHROMIUM is None and "OPSTORE_TEST_ALL" not in os.environ:
        pytest.skip("Chromium is not installed")
    with browser.chromium() as launched:
        yield launched


@pytest.fixture
def tab(chromium: "Browser") -> "Iterator[Page]":
    """Return a tab without cookies."""
    with chromium.new_context() as context:
        yield context.new_page()
