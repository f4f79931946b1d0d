"""A database or an object store that fails during a migration: errors of ours, and the same command completes it."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from opstore_daemon.metadata import row_copy
from opstore_daemon.protocol import errors
from tests.daemon.migration.test_moving import empty_place, needed
from tests.support.fault_proxy import Fault, HttpProxy, TcpProxy, every, share
from tests.support.figures import few, figures
from tests.support.moves import StorePlace
from tests.support.object_store import Bucket
from tests.support.postgres import Postgres

OURS = (errors.DatabaseFailed, errors.OutcomeUnknown, errors.StorageFailed, errors.StorageFull)


def use(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the credentials for the bucket, and the endpoint."""
    for name, value in {**bucket.environ, "AWS_MAX_ATTEMPTS": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_an_object_store_that_refuses_and_loses_requests_gets_every_blob_in_the_end(
    source: StorePlace, target: StorePlace, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, data = source.rows(), needed(source)
    faults = [Fault("refuse"), Fault("lose the request"), Fault("lose the response"), Fault("cut the response", at=3)]
    port = int(bucket.endpoint.rpartition(":")[2])
    with HttpProxy(port, share(0.1, 7, *faults)) as proxy:
        use(bucket.at(proxy.url), monkeypatch)
        there, back = target.at(saver=bucket.url), empty_place(tmp_path / "back")
        for place, to in ((source, there), (there, back)):
            finish(place, to)
        assert there.rows() == back.rows() == rows
        assert back.blobs() == data
        assert sum(proxy.happened.values()) > 0
    use(bucket, monkeypatch)
    assert there.blobs() == data


def finish(place: StorePlace, to: StorePlace) -> None:
    """Run the migration until it is finished; fail if it raises anything but a failure of a storage."""
    for _ in range(20):
        # Not empty: only the response to the last request was lost.
        with suppress(*OURS), suppress(errors.TargetNotEmpty):
            place.move_to(to)
            return
        if not is_unfinished(to):
            return
    raise AssertionError("it was not finished after 20 runs")


def is_unfinished(place: StorePlace) -> bool:
    """Return whether a daemon can't start there, or the storage does not say."""
    with suppress(*OURS), suppress(errors.MigrationUnfinished), place.opened():
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("status", few(1, ["403 Forbidden", "503 Slow Down"]))
def test_an_object_store_that_takes_nothing_more_is_reported_and_the_same_command_resumes(
    source: StorePlace, target: StorePlace, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    port = int(bucket.endpoint.rpartition(":")[2])
    with HttpProxy(port) as proxy:
        use(bucket.at(proxy.url), monkeypatch)
        there = target.at(saver=bucket.url)
        proxy.fault_for = every(1, Fault("refuse", status=status), "^PUT .*objects/")
        with pytest.raises(errors.StorageFailed):
            source.move_to(there)
        with pytest.raises(errors.MigrationUnfinished), there.opened():
            pass
        proxy.fault_for = lambda _: None
        source.move_to(there)
        assert (there.rows(), there.blobs()) == (source.rows(), needed(source))


@pytest.mark.slow
@pytest.mark.parametrize("cuts", figures(20, 2))
def test_a_connection_to_postgresql_that_is_cut_anywhere_is_an_error_of_ours_and_nothing_is_lost(
    source: StorePlace, target: StorePlace, postgres: Postgres, cuts: int
) -> None:
    rows, data, chance = source.rows(), needed(source), random.Random(cuts)
    with TcpProxy(postgres.port) as proxy:
        for number in range(cuts):
            with postgres.database() as url:
                name = url.rpartition("/")[2]
                place = target.at(db=postgres.url(name, port=proxy.port), saver=f"{target.saver}{number}")
                proxy.cut_after(chance.randrange(60_000), "up" if number % 2 else "down")
                with suppress(*OURS):
                    source.move_to(place)
                proxy.cut_after(1 << 40, "up")
                proxy.cut_after(1 << 40, "down")
                finish(source, place)
                assert (place.rows(), place.blobs()) == (rows, data)


@pytest.mark.slow
@pytest.mark.parametrize("words", few(1, ["COMMIT\0", "DROP TABLE", "CREATE TABLE"]))
def test_a_commit_whose_response_is_lost_is_found_by_the_next_run(
    source: StorePlace, target: StorePlace, postgres: Postgres, postgres_url: str, words: str
) -> None:
    with TcpProxy(postgres.port) as proxy:
        place = target.at(db=postgres.url(postgres_url.rpartition("/")[2], port=proxy.port))
        proxy.lose_response_to(words.encode())
        with pytest.raises(OURS):
            source.move_to(place)
        finish(source, place)
        assert place.rows() == source.rows()


@pytest.mark.slow
def test_a_postgresql_that_is_killed_and_started_again_is_no_loss(
    source: StorePlace, target: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = row_copy.put, iter(range(8))
    with Postgres(durable=True) as server:
        place = target.at(db=server.url())

        def kills(*args: object) -> None:
            if next(calls, None) is None:
                server.kill()
            put(*args)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(row_copy, "put", kills)
            with pytest.raises(OURS):
                source.move_to(place)
        with pytest.raises(errors.DatabaseFailed):
            source.move_to(place)
        server.start()
        source.move_to(place)
        assert place.rows() == source.rows()
