"""The position of a verdict, its etag, changes with what the verdict may depend on, and with nothing else."""

from collections.abc import Callable

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.store.store import Store
from tests.support.figures import few
from tests.support.new_run import new_run

# In a store with a pipeline pca, forest, where pca 1.0.0 has the tag dev and pca 1.0.1 is yanked.
CHANGES: dict[str, Callable[[Store], object]] = {
    "push": lambda store: store.push("pca", b"three"),
    "push downstream": lambda store: store.push("forest", b"two"),
    "bytes of what was registered": lambda store: store.push("forest", b"bytes", subversions="aaaa.aaaa.aaaa"),
    "register": lambda store: store.register("pca", fields={"major": {"k": "2"}}),
    "link": lambda store: store.link("pca@1.0.1", "forest@any"),
    "unlink": lambda store: store.unlink("pca@1.0.0", "forest@any"),
    "tag": lambda store: store.tag("pca@1.0.1", "dev"),
    "untag": lambda store: store.untag("pca", "dev"),
    "yank": lambda store: store.yank("pca@1.0.0", "broken"),
    "unyank": lambda store: store.unyank("pca@1.0.1"),
    "level": lambda store: store.set_op("pca", compat="minor"),
    "removal": lambda store: store.remove("pca@1.0.1"),
    "removal of the other end": lambda store: store.remove("forest@1.0.0", force=True),
    "run": lambda store: store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0")),
    "run that failed": lambda store: store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0", result="failed")),
}
OTHERS: dict[str, Callable[[Store], object]] = {
    "nothing": lambda store: store.ops(),
    "nothing new": lambda store: store.link("pca@1.0.0", "forest@any"),
    "another op": lambda store: store.push("report", b"one"),
    "a link of other ops": lambda store: store.link("scaler@1.0.0", "report@any"),
    "another pipeline": lambda store: store.register_pipeline("other", ["pca", "forest"]),
}


@pytest.fixture
def store(memory: OpStoreServer) -> Store:
    """Return a store with everything that can change."""
    store = memory.store
    store.push("scaler", b"one")
    store.push("pca", b"one", tags=["dev"])
    store.push("pca", b"two")
    store.register("forest", subversions="aaaa.aaaa.aaaa")
    store.link("pca@1.0.0", "forest@any")
    store.yank("pca@1.0.1", "broken")
    store.register_pipeline("churn", ["pca", "forest"])
    store.register_pipeline("reports", ["report"])
    return store


def positions(store: Store) -> tuple[int, int]:
    """Return the positions of the verdicts of an edge and of a pipeline."""
    return store.validate("pca@1.0.0", "forest").position, store.validate_pipeline("churn", use=["pca@1.0.0"]).position


@pytest.mark.parametrize("change", few(5, CHANGES))
def test_a_change_that_a_verdict_may_depend_on_changes_its_position(store: Store, change: str) -> None:
    edge, pipeline = positions(store)
    CHANGES[change](store)
    after = positions(store)
    assert (after[0] > edge, after[1] > pipeline) == (True, True)


@pytest.mark.parametrize("change", OTHERS)
def test_any_other_change_keeps_the_position_of_a_verdict(store: Store, change: str) -> None:
    before = positions(store)
    OTHERS[change](store)
    assert positions(store) == before


def test_registering_a_pipeline_again_changes_its_position(store: Store) -> None:
    _, before = positions(store)
    store.remove_pipeline("churn")
    store.register_pipeline("churn", ["pca", "forest", "report"])
    assert store.validate_pipeline("churn", use=["pca@1.0.0"]).position > before
