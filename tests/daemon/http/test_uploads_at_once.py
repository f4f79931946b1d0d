"""What two requests for one upload can do to each other, with the second one put right where it hurts."""

from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import Draft, FileSaver
from opstore_daemon.savers.file_draft import FileDraft
from opstore_daemon.store.ingest.open_upload import Declared
from opstore_daemon.store.ingest.uploads import Uploads

DATA = b"0123456789"
OWNER = "somebody"


@pytest.fixture
def uploads(server: OpStoreServer) -> Uploads:
    return server.store.uploads


@pytest.fixture
def upload(uploads: Uploads) -> str:
    """An upload with bytes, of which nothing is at hand, as after a restart."""
    made = uploads.create(OWNER, None).upload
    writer = uploads.writer(made, OWNER, 0, None)
    writer.append(DATA)
    writer.close()
    uploads.close()
    return made


def test_an_upload_that_is_thrown_away_while_it_is_opened_does_not_come_back(
    uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    draft = FileSaver.draft

    def overtaken(saver: FileSaver, name: str) -> Draft:
        monkeypatch.undo()
        uploads.discard(name, OWNER)
        return draft(saver, name)

    monkeypatch.setattr(FileSaver, "draft", overtaken)
    with pytest.raises(errors.UploadNotFound):
        uploads.claim(upload, OWNER)
    assert list((tmp_path / "blobs" / "staging").iterdir()) == []


def test_an_upload_whose_file_goes_while_it_is_opened_is_not_found(
    uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(_saver: FileSaver, name: str) -> Draft:
        monkeypatch.undo()
        uploads.discard(name, OWNER)
        raise errors.StorageFailed(reason="No such file or directory while opening a draft")

    monkeypatch.setattr(FileSaver, "draft", overtaken)
    with pytest.raises(errors.UploadNotFound):
        uploads.claim(upload, OWNER)


def test_an_upload_that_makes_room_just_before_its_publication_is_published(
    uploads: Uploads, upload: str, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Uploads._held

    def let_go_of(asked: Uploads, *given: Any) -> Any:
        monkeypatch.undo()
        found = held(asked, *given)
        asked.close()
        return found

    blob = uploads.check(upload, OWNER, Declared(digest_of(DATA)))
    assert (blob.digest, blob.size) == (digest_of(DATA), 10)
    monkeypatch.setattr(Uploads, "_held", let_go_of)
    uploads.publish(upload, OWNER, blob.digest)
    assert blob.digest in server.store.saver


def test_an_append_to_an_upload_that_just_made_room_is_refused(uploads: Uploads, upload: str) -> None:
    uploads.claim(upload, OWNER)
    uploads._opened[upload].close()  # as whoever needs the room does before it takes it off the list
    with pytest.raises(errors.UploadNotOpen):
        uploads.writer(upload, OWNER, 10, 1)


def test_a_draft_that_cannot_be_read_becomes_no_version_until_it_can(
    uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*given: Any) -> Any:
        raise errors.StorageFailed(reason="Input/output error while reading a draft")

    assert uploads.claim(upload, OWNER).offset == 10
    with monkeypatch.context() as patch:
        patch.setattr(FileDraft, "read_at", failing)
        for _ in range(2):
            with pytest.raises(errors.StorageFailed):
                uploads.check(upload, OWNER, Declared(digest_of(DATA)))
    blob = uploads.check(upload, OWNER, Declared(digest_of(DATA)))
    assert (blob.digest, blob.size) == (digest_of(DATA), 10)
