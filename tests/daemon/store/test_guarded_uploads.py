"""An upload between its check and its publication."""

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.ingest.open_upload import Declared
from tests.daemon.store.test_faults import LOCAL, append, uploaded


def test_an_upload_that_somebody_went_on_appending_to_is_not_published(files: OpStoreServer) -> None:
    uploads = files.store.uploads
    upload = uploaded(files, b"bytes")
    blob = uploads.check(upload, LOCAL, Declared(digest_of(b"bytes"), size=5))
    append(files, upload, blob.size, b"more")
    with pytest.raises(errors.UploadNotOpen):
        uploads.publish(upload, LOCAL, blob.digest)
    assert set(files.store.saver) == set()
    uploads.publish(upload, LOCAL, digest_of(b"bytesmore"))
    assert set(files.store.saver) == {digest_of(b"bytesmore")}
