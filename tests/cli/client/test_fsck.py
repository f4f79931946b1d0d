"""The client's check of a store: page by page, beside other clients, against a server that makes up pages."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.transport import adapter, expected
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import FsckPage
from opstore_daemon.store.maintenance import blob_checks
from tests.support.damage import DAMAGES, blob_path
from tests.support.figures import few
from tests.support.random_bytes import random_bytes
from tests.support.servers import ADMIN_TOKEN

DATA = random_bytes(3_000_000)


@pytest.fixture
def client(listener: Listener) -> Iterator[OpStoreClient]:
    with OpStoreClient(listener.url, token=ADMIN_TOKEN) as made:
        yield made


@pytest.mark.slow
def test_a_report_is_a_gate_and_a_sequence(client: OpStoreClient, tmp_path: Path) -> None:
    client.push("pca", DATA)
    seen: list[FsckPage] = []
    report = client.fsck(read_data=True, notify=seen.append)
    assert report
    assert (report.clean, len(report), report.bytes_read) == (True, 0, len(DATA))
    assert [page.check for page in seen] == ["database", "journal", "versions", "blobs", "storage"]
    path = blob_path(tmp_path / "blobs", digest_of(DATA))
    DAMAGES["a bit"](path, path)
    assert client.fsck()
    report = client.fsck(read_data=True, rate=100_000_000)
    assert not report
    assert [(finding.kind, str(finding.versions[0])) for finding in report] == [("damaged", "pca@1.0.0")]
    assert repr(report) == "<FsckReport not clean, 1 finding>"
    assert client.fsck(subset="1/1", repair=True)[0].marked
    with pytest.raises(errors.BlobDamaged):
        client.pull("pca")
    assert not client.push("pca", DATA).created
    assert client.pull("pca") == DATA
    assert client.fsck(read_data=True)


def test_progress_reaches_the_total(client: OpStoreClient) -> None:
    client.push("pca", DATA)
    client.push("small", b"x")
    seen: list[tuple[int, int | None]] = []
    client.progress = lambda done, total: seen.append((done, total))
    assert client.fsck(read_data=True)
    assert seen == sorted(seen)
    assert (seen[0][0] < len(DATA), seen[-1]) == (True, (len(DATA) + 1, len(DATA) + 1))


@pytest.mark.parametrize("wrong", [{"subset": "8/7"}, {"subset": "x"}, {"rate": 0}, {"rate": -1}])
def test_wrong_arguments_are_refused_before_a_request(client: OpStoreClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest):
        client.fsck(**wrong)


def test_a_lost_connection_continues_at_the_page(
    client: OpStoreClient, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_checks, "BLOBS", 1)
    monkeypatch.setattr(adapter, "MAX_RETRY_AFTER", 0.0)
    for number in range(3):
        client.push("pca", b"%d" % number)
    pages: list[object] = []
    asked = server.store.fsck_page
    failures = [errors.TooManyReads(running=2)]

    def refuse_once(cursor: str | None, *arguments: Any) -> object:
        pages.append(cursor)
        if cursor is not None and cursor.startswith("blobs:") and failures:
            raise failures.pop()
        return asked(cursor, *arguments)

    monkeypatch.setattr(type(server.store), "fsck_page", lambda _store, *arguments: refuse_once(*arguments))
    assert client.fsck(read_data=True).blobs == 3
    again = [cursor for cursor in pages if pages.count(cursor) > 1]
    assert len(again) == 2


@pytest.mark.parametrize(
    "cursors",
    [
        ["database", "journal", "versions:1/2", "versions:1/10", "versions:2/1", "blobs", "blobs:sha256:0a"],
        ["journal:9", "journal:10", "storage:.", "storage:00", "storage:09", "storage:0a", "storage:folders"],
    ],
)
def test_the_places_of_pages_ascend(cursors: list[str]) -> None:
    places = [expected.fsck_place(cursor) for cursor in cursors]
    assert places == sorted(places)  # type: ignore[type-var]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("cursor", ["", "other", "journal:x", "versions:1/x", "versions:99999999999999999999/1"])
def test_what_is_no_cursor_has_no_place(cursor: str) -> None:
    assert expected.fsck_place(cursor) is None


SMALL, LARGE = random_bytes(1000), random_bytes(1_500_000)
HEALS: dict[str, tuple[bytes, Callable[[OpStoreClient, Path, str], object]]] = {
    "a small push": (SMALL, lambda client, _folder, _subversions: client.push("pca", SMALL)),
    "an upload": (LARGE, lambda client, _folder, _subversions: client.push("pca", io.BytesIO(LARGE))),
    "a file whose sample the store knows": (LARGE, lambda client, folder, _: client.push("pca", written(folder))),
    "a push to its own version": (
        SMALL,
        lambda client, _, subversions: client.push("pca", SMALL, subversions=subversions),
    ),
    "a push to another op": (LARGE, lambda client, _folder, _subversions: client.push("other", LARGE)),
    "a push of a chariots application": (
        SMALL,
        lambda client, _, subversions: client.save_op_bytes("pca", subversions, SMALL),
    ),
}


def written(folder: Path) -> Path:
    path = folder / "model.bin"
    path.write_bytes(LARGE)
    return path


@pytest.mark.parametrize("way", few(2, HEALS))
def test_each_way_to_push_the_same_bytes_heals_a_marked_blob(client: OpStoreClient, tmp_path: Path, way: str) -> None:
    data, push = HEALS[way]
    client.push("pca", b"older")
    subversions = client.push("pca", data).subversions
    path = blob_path(tmp_path / "blobs", digest_of(data))
    DAMAGES["a bit"](path, path)
    assert client.fsck(read_data=True, repair=True)[0].marked
    assert client.show("pca").damaged
    with pytest.raises(errors.BlobDamaged, match="as fsck found"):
        client.pull("pca", tmp_path / "out")
    push(client, tmp_path, subversions)
    assert client.pull("pca") == data
    assert len(client.versions("pca")) == 2
    assert not client.show("pca").damaged
    assert client.fsck(read_data=True)


def test_a_folder_is_healed_by_a_push_of_the_folder(client: OpStoreClient, tmp_path: Path) -> None:
    source = tmp_path / "tokenizer"
    source.mkdir()
    (source / "vocab.txt").write_text("a\nb\n")
    digest = client.push("tokenizer", source).digest
    path = blob_path(tmp_path / "blobs", digest)
    DAMAGES["a folder"](path, path)
    assert client.fsck(repair=True)[0].advice == "push the same bytes again: opstore push tokenizer FOLDER"
    assert not client.push("tokenizer", source).created
    client.pull("tokenizer", tmp_path / "out")
    assert (tmp_path / "out" / "vocab.txt").read_text() == "a\nb\n"
    assert client.fsck(read_data=True)


@pytest.mark.slow
def test_what_changes_while_it_is_checked_is_no_finding(
    client: OpStoreClient, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Push, remove, tag and collect between the pages of a check that looks at one blob at a time."""
    monkeypatch.setattr(blob_checks, "BLOBS", 1)
    for number in range(10):
        client.push("pca", b"%d" % number)
    changes = iter(range(100))

    def change(_page: FsckPage) -> None:
        number = next(changes)
        client.push("pca", b"new %d" % number, tags=["stable"])
        client.tag(f"pca@1.0.{number % 3}", "stable")
        if number < 5:
            client.untag("pca", "stable")
            server.store.remove([f"pca@1.0.{number + 3}"], force=True)
            server.store.collect_garbage(grace=0, purge=True)

    report = client.fsck(read_data=True, repair=True, notify=change)
    assert report.findings == ()
    assert report.blobs > 10
    assert client.fsck(read_data=True)


def test_a_page_that_comes_again_is_refused(
    client: OpStoreClient, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = server.store.fsck_page
    pages = iter(range(5))  # then the server would end

    def repeat(_store: object, cursor: str | None, *arguments: Any) -> object:
        return asked("database" if cursor == "journal" and next(pages, None) is not None else cursor, *arguments)

    monkeypatch.setattr(type(server.store), "fsck_page", repeat)
    with pytest.raises(errors.UnexpectedResponse, match="the cursor 'journal'"):
        client.fsck()
