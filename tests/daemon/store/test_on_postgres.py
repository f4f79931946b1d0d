"""The tests of the store once more, on PostgreSQL: the same functions, with a database of that kind in their fixtures.

`make test` runs each tenth of them, in their order, and `make test-all` all. What is left out writes SQL of its own for
SQLite, or reads its plans and files.
"""

import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

from opstore_daemon import OpStoreServer
from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.store import Store
from tests.daemon.store import (
    test_authors,
    test_bisections,
    test_by_digest,
    test_collection,
    test_concurrency,
    test_etags,
    test_history,
    test_quotas,
    test_removals,
    test_resolution,
    test_runs,
    test_set_history,
    test_small_pushes,
    test_suggestions,
    test_uploads,
    test_verdicts,
)
from tests.support.postgres import Postgres

MODULES = (
    test_authors,
    test_bisections,
    test_by_digest,
    test_collection,
    test_concurrency,
    test_etags,
    test_history,
    test_quotas,
    test_removals,
    test_resolution,
    test_runs,
    test_set_history,
    test_small_pushes,
    test_suggestions,
    test_uploads,
    test_verdicts,
)
FIXTURES = {"memory", "files", "make_server", "shared"}
ONLY_ON_SQLITE = {
    "test_a_full_disk_gives_up_the_reserve_for_a_removal",
    "test_a_page_continues_the_one_before",
    "test_a_retry_with_the_same_key_settles_a_removal_whose_commit_failed",
    "test_blobs_of_removed_versions_are_not_offered_by_their_sample",
    "test_runs_are_found_by_an_index_in_their_order",
    "test_the_blob_stays_if_the_outcome_of_the_commit_is_unknown",
    "test_the_history_of_too_many_versions_ends_with_the_budget",
    "test_the_statements_of_a_history_depend_on_blocks",
    "test_the_statements_of_a_run_depend_on_its_set_and_not_on_the_store",
    "test_versions_are_read_in_blocks",
    "test_entries_of_an_older_database_have_no_author_and_stay_in_the_journals_of_their_ops",
}
TENTH = 10


Urls = Callable[[], str]


@pytest.fixture
def urls(postgres: Postgres) -> Iterator[Urls]:
    """Return a function that returns the URL of a new database with the schema."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(postgres.store_database())


@pytest.fixture
def memory(urls: Urls) -> Iterator[OpStoreServer]:
    """Return a store whose bytes are in memory."""
    with closing(OpStoreServer(MemorySaver(), urls())) as server:
        yield server


@pytest.fixture
def make_server(urls: Urls, tmp_path: Path) -> Iterator[Callable[[type[FileSaver]], OpStoreServer]]:
    """Return a function that opens the store in the test's folder with a kind of saver, also after it was closed."""
    url = urls()
    with ExitStack() as stack:

        def make(kind: type[FileSaver] = FileSaver) -> OpStoreServer:
            saver: BaseSaver = kind(tmp_path / "blobs")
            return stack.enter_context(closing(OpStoreServer(saver, url)))

        yield make


@pytest.fixture
def files(make_server: Callable[[type[FileSaver]], OpStoreServer]) -> OpStoreServer:
    """Return a store whose bytes are in files."""
    return make_server(FileSaver)


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[Store]:
    """Return one store for all examples."""
    with postgres.store_database() as url, closing(OpStoreServer(MemorySaver(), url)) as server:
        yield server.store


def _take_tests() -> Iterator[tuple[str, Any]]:
    """Yield copies of the tests, of which each tenth is not slow."""
    number = 0
    for module in MODULES:
        own = {name for name, found in vars(module).items() if isinstance(found, FixtureFunctionDefinition)}
        for name, found in list(vars(module).items()):
            if not name.startswith("test_") or not isinstance(found, types.FunctionType) or name in ONLY_ON_SQLITE:
                continue
            asked = set(signature(found).parameters)
            if not FIXTURES & asked or own & asked:
                continue  # it makes a store of its own, or none
            copy = types.FunctionType(found.__code__, found.__globals__, name, found.__defaults__, found.__closure__)
            copy.__dict__.update(found.__dict__)
            copy.__kwdefaults__, copy.__annotations__ = found.__kwdefaults__, found.__annotations__
            marks = list(getattr(found, "pytestmark", []))
            if number % TENTH:
                marks.append(pytest.mark.slow.mark)
            copy.__dict__["pytestmark"] = marks
            number += 1
            yield f"{name}__{module.__name__.rpartition('.')[2].removeprefix('test_')}", copy


globals().update(_take_tests())
