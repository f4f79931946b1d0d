"""The truth of a record is that of the question it answers, so that `if client.validate(...)` is a gate."""

import time

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.in_process import InProcessClient
from tests.support.new_run import new_run


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of a store whose pca 1.0.0 is valid for the forest, and 2.0.0 known to be invalid."""
    client = InProcessClient(memory_server)
    client.push("forest", b"trees")
    client.push("pca", b"one", valid_for="forest@1.0.0")
    client.register_pipeline("churn", ["pca", "forest"])
    return client


def test_a_verdict_is_true_only_if_it_is_valid(client: InProcessClient) -> None:
    found = client.validate("pca", "forest")
    assert found
    assert found.verdict
    assert found.edges[0]
    assert found.edges[0].verdict
    assert client.validate_pipeline("churn")
    client.push("pca", b"two", bump="major")
    for invalid in (client.validate("pca", "forest"), client.validate_pipeline("churn")):
        assert not invalid
        assert invalid.verdict == "invalid"
        assert not invalid.verdict
        assert not invalid.edges[0]
        assert not invalid.edges[0].verdict
    assert not client.wait("pca", "forest", seconds=0)
    client.push("scaler", b"mean")
    unknown = client.validate("scaler", "forest")
    assert (unknown.verdict, bool(unknown), bool(unknown.verdict)) == ("unknown", False, False)


def test_waiting_for_an_exact_set_ends_when_a_run_fails(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert len(waited) == 1, "the run has been recorded"
        client.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0", result="failed"))

    monkeypatch.setattr(time, "sleep", sleep)
    found = client.wait("churn", seconds=60, exact_set=True)
    assert found.exact_set is not None
    assert (found.verdict, found.exact_set.basis, len(waited)) == ("invalid", "run-failed", 1)
    client.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0"))
    assert client.wait("churn", seconds=60, exact_set=True)


def test_a_lock_that_no_longer_holds_is_false(client: InProcessClient) -> None:
    lock = client.resolve("churn").lock()
    assert client.check_lock("churn", lock)
    client.yank("pca@1.0.0", "broken")
    assert not client.check_lock("churn", lock)


def test_what_is_a_sequence_is_true_if_it_has_anything(client: InProcessClient) -> None:
    assert client.resolve("churn")
    assert not client.affected("pca")
    assert client.versions("pca", valid_for="forest")
    client.push("pca", b"two", bump="major")
    assert [each.op for each in client.affected("pca")] == ["forest"]
    assert client.affected("pca")
    client.unlink("pca@1.0.0", "forest@1.0.0")
    assert not client.versions("pca", valid_for="forest")


def test_resolve_raises_if_no_versions_are_valid_together(client: InProcessClient) -> None:
    client.link("pca@1.0.0", "forest@1.0.0", valid=False)
    with pytest.raises(errors.NoResolution) as caught:
        client.resolve("churn")
    assert type(caught.value) is errors.NoSet
    assert caught.value.exit_code == 1
    (edge,) = caught.value.resolution.conflict
    assert (str(edge.upstream), str(edge.downstream)) == ("pca@1.0.0", "forest@1.0.0")
    client.unlink("pca@1.0.0", "forest@1.0.0")
    with pytest.raises(errors.NoSetKnown) as unknown:
        client.resolve("churn")
    assert unknown.value.exit_code == 3
