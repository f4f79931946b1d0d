"""Two requests for one upload, the second one at the worst moment of the first."""

from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.savers import BaseSaver, Draft
from opstore_daemon.store.ingest.open_upload import Declaration
from opstore_daemon.store.ingest.uploads import Uploads
from opstore_daemon.store.operations.ingest import LOCAL
from tests.daemon.store.test_faults import append, uploaded

DATA = b"0123456789"
OWNER = "somebody"


@pytest.fixture
def uploads(server: OpStoreServer) -> Uploads:
    return server.store.uploads


@pytest.fixture
def upload(uploads: Uploads) -> str:
    """An upload with bytes whose draft is closed, as after a restart."""
    made = uploads.create(OWNER, None).upload
    writer = uploads.writer(made, OWNER, 0, None)
    writer.append(DATA)
    writer.close()
    uploads.close()
    return made


def test_an_upload_discarded_while_it_is_reopened_stays_discarded(
    server: OpStoreServer, uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(server.store.saver)
    draft = kind.draft

    def overtaken(saver: BaseSaver, name: str) -> Draft:
        monkeypatch.undo()
        uploads.discard(name, OWNER)
        return draft(saver, name)

    monkeypatch.setattr(kind, "draft", overtaken)
    with pytest.raises(errors.UploadNotFound):
        uploads.claim(upload, OWNER)
    assert list(server.store.saver.drafts()) == []


def test_an_upload_whose_file_disappears_while_it_is_reopened_is_not_found(
    server: OpStoreServer, uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(_saver: BaseSaver, name: str) -> Draft:
        monkeypatch.undo()
        uploads.discard(name, OWNER)
        raise errors.StorageFailed(reason="No such file or directory while opening a draft")

    monkeypatch.setattr(type(server.store.saver), "draft", overtaken)
    with pytest.raises(errors.UploadNotFound):
        uploads.claim(upload, OWNER)


def test_an_upload_closed_just_before_its_publication_is_published(
    uploads: Uploads, upload: str, server: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Uploads._find

    def closed_after_find(uploads: Uploads, *args: Any) -> Any:
        monkeypatch.undo()
        opened = find(uploads, *args)
        uploads.close()
        return opened

    blob = uploads.verify(upload, OWNER, Declaration(digest_of(DATA)))
    assert (blob.digest, blob.size) == (digest_of(DATA), 10)
    monkeypatch.setattr(Uploads, "_find", closed_after_find)
    uploads.publish(upload, OWNER, blob.digest)
    assert blob.digest in server.store.saver


@pytest.mark.local  # with an object store, an append reopens it
def test_an_append_to_an_upload_that_was_just_closed_is_refused(uploads: Uploads, upload: str) -> None:
    uploads.claim(upload, OWNER)
    uploads.opened._opened[upload].close()  # as `_keep_open` does before it removes the upload
    with pytest.raises(errors.UploadNotOpen):
        uploads.writer(upload, OWNER, 10, 1)


@pytest.mark.local  # the sum of a sealed draft is known without reading it
def test_a_draft_is_verified_only_once_it_can_be_read(
    uploads: Uploads, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any) -> Any:
        raise errors.StorageFailed(reason="Input/output error while reading a draft")

    assert uploads.claim(upload, OWNER).offset == 10
    with monkeypatch.context() as patch:
        opened = uploads.opened.get(upload)
        assert opened is not None
        patch.setattr(opened.draft, "read_at", failing)
        for _ in range(2):
            with pytest.raises(errors.StorageFailed):
                uploads.verify(upload, OWNER, Declaration(digest_of(DATA)))
    blob = uploads.verify(upload, OWNER, Declaration(digest_of(DATA)))
    assert (blob.digest, blob.size) == (digest_of(DATA), 10)


@pytest.mark.local  # a draft in an object store takes no more bytes once it is verified
def test_an_upload_with_bytes_appended_since_its_verification_is_not_published(files: OpStoreServer) -> None:
    uploads = files.store.uploads
    upload = uploaded(files, b"bytes")
    blob = uploads.verify(upload, LOCAL, Declaration(digest_of(b"bytes"), size=5))
    append(files, upload, blob.size, b"more")
    with pytest.raises(errors.UploadNotOpen):
        uploads.publish(upload, LOCAL, blob.digest)
    assert set(files.store.saver) == set()
    uploads.publish(upload, LOCAL, digest_of(b"bytesmore"))
    assert set(files.store.saver) == {digest_of(b"bytesmore")}
