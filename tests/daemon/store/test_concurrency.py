"""Concurrent writers leave no gaps in sequences and positions; keys take effect once; readers see whole states."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import NewVersion, Pushed
from opstore_daemon.protocol.references import Reference
from opstore_daemon.savers import FileSaver
from opstore_daemon.store.idempotency import IdempotentRequest
from tests.daemon.store.conftest import Make

THREADS, PUSHES = 8, 6
LOCAL = "local"

T = TypeVar("T")


def together(count: int, work: Callable[[int], T]) -> list[T]:
    """Run the work in several threads that start at the same moment."""
    gate = threading.Barrier(count)

    def run(n: int) -> T:
        gate.wait(30)
        return work(n)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def scalars(server: OpStoreServer, query: str) -> list[Any]:
    """Return the first column of the rows of a query."""
    with server.db.read() as connection:
        return list(connection.exec_driver_sql(query).scalars())


def check_journal(server: OpStoreServer) -> None:
    """Check that positions run from 1 to the counter without gaps, and that each row has an entry of its kind."""
    positions = scalars(server, "SELECT position FROM journal ORDER BY position")
    assert positions == list(range(1, len(positions) + 1))
    assert scalars(server, "SELECT position FROM counter") == [len(positions)]
    used = scalars(
        server,
        "SELECT position FROM version UNION ALL SELECT position FROM link UNION ALL SELECT position FROM level"
        " UNION ALL SELECT stored_position FROM version WHERE stored_position <> position"
        " UNION ALL SELECT DISTINCT label.position FROM label JOIN version ON version.id = version_id"
        " WHERE label.position NOT IN (version.position, coalesce(stored_position, 0))"
        " UNION ALL SELECT DISTINCT position FROM tag UNION ALL SELECT position FROM yank"
        " UNION ALL SELECT position FROM pipeline UNION ALL SELECT until FROM pipeline WHERE until IS NOT NULL",
    )
    assert sorted(used) == positions


def test_eight_threads_that_push_to_one_op_leave_no_gaps(files: OpStoreServer) -> None:
    def push(n: int) -> list[Pushed]:
        return [
            files.store.push(
                "pca",
                f"{n} {turn}".encode(),
                valid_for=[f"down{n}@any"],
                new_ops="major",
                bump=("patch", "minor")[turn % 2],
            )
            for turn in range(PUSHES)
        ]

    pushed = [each for some in together(THREADS, push) for each in some]
    count = THREADS * PUSHES
    assert sorted(each.sequence for each in pushed) == list(range(1, count + 1))
    assert len({each.version for each in pushed}) == len({each.subversions for each in pushed}) == count
    assert all(each.created for each in pushed)
    assert files.store.op("pca").versions == count
    for each in pushed:
        assert files.store.show(f"pca@{each.version}").subversions == each.subversions
    # The base of each push was the latest version at its time: in order of sequence, each derives from the one before.
    ordered = sorted(pushed, key=lambda each: each.sequence)
    assert [each.position for each in ordered] == sorted(each.position for each in ordered)
    check_journal(files)


def test_the_same_bytes_from_eight_threads_make_one_version(files: OpStoreServer) -> None:
    pushed = together(THREADS, lambda n: files.store.push("pca", b"same", labels={f"k{n}": "v"}))
    assert [each.created for each in pushed].count(True) == 1
    assert {each.version for each in pushed} == {"1.0.0"}
    assert files.store.show("pca").labels == {f"k{n}": "v" for n in range(THREADS)}
    check_journal(files)


def test_one_of_eight_threads_with_other_bytes_stores_a_version(files: OpStoreServer) -> None:
    def push(n: int) -> Pushed | str:
        try:
            return files.store.push("pca", b"%d" % n, subversions="aaaa.aaaa.aaaa")
        except Exception as error:  # noqa: BLE001 - looked at below
            return type(error).__name__

    told = together(THREADS, push)
    (won,) = [each for each in told if isinstance(each, Pushed)]
    assert [each for each in told if each == "VersionConflict"] == ["VersionConflict"] * (THREADS - 1)
    assert files.store.show("pca").digest == won.digest
    assert won.digest in set(files.store.saver)
    check_journal(files)


def test_of_links_recorded_concurrently_one_is_in_force(files: OpStoreServer) -> None:
    files.store.push("pca", b"one")
    files.store.register_pipeline("churn", ["pca", "forest"])
    together(THREADS, lambda n: files.store.link("pca", "forest@any", valid=n % 2 == 0))
    assert len(files.store.links()) == 1
    check_journal(files)


def test_a_pipeline_and_its_ops_are_registered_once_by_concurrent_requests(files: OpStoreServer) -> None:
    told = together(THREADS, lambda _: files.store.register_pipeline("p", ["a", "b", "c"]))
    assert [each.created for each in told].count(True) == 1
    assert [op.name for op in files.store.ops()] == ["a", "b", "c"]


def test_readers_see_whole_states_while_others_write(files: OpStoreServer) -> None:
    done = threading.Event()
    files.store.push("pca", b"first", valid_for=["forest@any"], new_ops="major")

    def write() -> None:
        try:
            for n in range(15):
                files.store.push("pca", b"%d" % n, valid_for=["forest@any"], new_ops="major")
        finally:
            done.set()

    def read() -> int:
        seen = 0
        while not done.is_set():
            versions = files.store.versions("pca").versions
            assert [each.sequence for each in versions] == list(range(len(versions), 0, -1))
            assert all(each.digest in files.store.saver for each in versions)
            links = {link.upstream_version for link in files.store.links("pca")}
            assert {each.version for each in versions} <= links, "no version is seen without its link"
            found = files.store.versions("pca", valid_for=["forest"])
            assert (len(found.versions) >= len(versions), found.skipped) == (True, ())
            assert len(versions) >= seen
            seen = len(versions)
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        assert all(reader.result() > 0 for reader in readers)


def test_a_request_that_eight_threads_repeat_takes_effect_once(files: OpStoreServer) -> None:
    upload = files.store.uploads.create(LOCAL, None).upload
    files.store.uploads.writer(upload, LOCAL, 0, None).append(b"bytes")
    wanted = NewVersion(upload=upload, new=True, valid_for=(Reference.parse("forest@any"),), new_ops="major")
    bound = files.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    told = together(THREADS, lambda _: bound.add_version("pca", wanted, LOCAL))
    assert all(each == told[0] for each in told)
    assert files.store.op("pca").versions == 1
    assert len(files.store.links()) == 1
    check_journal(files)


def test_a_request_that_is_repeated_while_it_runs_gets_its_result(make_server: Make) -> None:
    """The repetition starts while the first request publishes the upload, and finds it gone when it publishes."""
    server = make_server(FileSaver)
    uploads = server.store.uploads
    upload = uploads.create(LOCAL, None).upload
    uploads.writer(upload, LOCAL, 0, None).append(b"bytes")
    bound = server.store.idempotent(IdempotentRequest(LOCAL, "key", "request"))
    wanted = NewVersion(upload=upload)
    publish = uploads.publish
    answers: list[Pushed] = []

    def overtaken(upload: str, owner: str, digest: Digest) -> None:
        uploads.publish = publish  # type: ignore[method-assign]
        answers.append(bound.add_version("pca", wanted, LOCAL))
        publish(upload, owner, digest)

    uploads.publish = overtaken  # type: ignore[method-assign]
    answers.append(bound.add_version("pca", wanted, LOCAL))
    assert answers[0] == answers[1]
    assert server.store.op("pca").versions == 1


@pytest.mark.parametrize("url", ["memory", "files"])
def test_concurrent_registrations_and_changes_of_level_leave_no_gaps(url: str, request: pytest.FixtureRequest) -> None:
    server: OpStoreServer = request.getfixturevalue(url)
    server.store.register("pca", subversions="aaaa.aaaa.aaaa")

    def work(n: int) -> None:
        server.store.register("pca", fields={"patch": {"n": str(n)}}, valid_for=[f"down{n % 3}@any"], new_ops="major")
        server.store.set_op("pca", compat=("major", "minor", "exact")[n % 3])

    together(THREADS, work)
    versions = server.store.versions("pca").versions
    assert sorted(each.sequence for each in versions) == list(range(1, THREADS + 2))
    check_journal(server)


def test_eight_threads_with_other_bytes_for_one_version_each_make_a_patch_with_its_links(
    files: OpStoreServer,
) -> None:
    files.store.push("pca", b"first", subversions="aaaa.aaaa.aaaa", valid_for=["forest@any"], new_ops="major")

    def save(n: int) -> list[Pushed]:
        return [
            files.store.push("pca", b"%d" % (n // 2), subversions="aaaa.aaaa.aaaa", otherwise="patch") for _ in range(3)
        ]

    saved = [pushed for done in together(THREADS, save) for pushed in done]
    assert len({pushed.version for pushed in saved if pushed.created}) == THREADS // 2
    assert sum(pushed.created for pushed in saved) == THREADS // 2, "two threads save the same bytes, three times each"
    assert files.store.op("pca").versions == 1 + THREADS // 2
    assert len(files.store.links(upstream="pca", downstream="forest")) == 1 + THREADS // 2
    assert files.store.pull("pca@1.0.0") == b"first"
    check_journal(files)
