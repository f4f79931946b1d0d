"""The uploads whose draft is open in this process: a bounded number of them."""

import threading
from collections import OrderedDict
from contextlib import suppress

from opstore_daemon.protocol import errors
from opstore_daemon.store.ingest.open_upload import OpenUpload

MAX_OPEN = 256  # uploads whose file and hash stay open


class OpenUploads:
    """Open uploads by id. An upload has at most one open draft in this process."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, OpenUpload] = OrderedDict()
        self._lock = threading.Lock()
        self.max_open = MAX_OPEN  # fewer if the process may have few files open

    def get(self, upload: str) -> OpenUpload | None:
        """Return the upload if it is open."""
        opened = self._opened.get(upload)
        return None if opened is None or opened.closed else opened

    def find(self, upload: str) -> OpenUpload | None:
        """Return the upload if it is open, or was closed a moment ago."""
        return self._opened.get(upload)

    def keep(self, new: OpenUpload) -> OpenUpload:
        """Keep the upload open, unless it is already (return that one instead), and close idle ones beyond MAX_OPEN."""
        with self._lock:
            opened = self.get(new.upload)
            if opened is None:
                opened = self._opened[new.upload] = new
            for other in list(self._opened.values()):
                if len(self._opened) <= min(self.max_open, MAX_OPEN):
                    break
                if other is not opened and other.close_if_idle():
                    del self._opened[other.upload]
        if opened is not new:
            new.close()
        return opened

    def forget(self, opened: OpenUpload) -> None:
        """Forget an upload, which is closed."""
        with self._lock:
            if self._opened.get(opened.upload) is opened:
                del self._opened[opened.upload]

    def receiving(self) -> list[str]:
        """Return the uploads that a request of this process appends to."""
        return [opened.upload for opened in list(self._opened.values()) if opened.writer is not None]

    def is_receiving(self, upload: str) -> bool:
        """Return whether a request of this process appends to the upload."""
        opened = self._opened.get(upload)
        return opened is not None and opened.writer is not None

    def close(self) -> None:
        """Store what was accepted, and close all drafts; their bytes stay."""
        with self._lock:
            for opened in self._opened.values():
                opened.ending = errors.UploadNotOpen(upload=opened.upload)
                with opened.lock:
                    if not opened.closed:
                        with suppress(errors.OpStoreError):  # the client sends again what was not stored
                            opened.store()
                        opened.close()
            self._opened.clear()
