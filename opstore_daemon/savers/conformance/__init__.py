"""The suite that every saver passes: a pytest class to inherit from, with a few hooks to supply.

    class TestMySaver(SaverConformance):
        def make_saver(self): ...                      # a saver with nothing in it
        def reopen(self, saver): ...                   # the same place, as after a restart of the process
        def raw_read(self, saver, digest): ...         # the bytes that lie there, or None
        def raw_write(self, saver, digest, data): ...  # other bytes in their place
        def leftovers(self, saver): ...                # how many things are neither a blob nor a draft

The raw hooks look around the saver: a saver that forgets in the same way as it keeps would pass otherwise. After each
test its drafts are discarded, and there must be no leftovers.
"""
# ruff: noqa: S101 - the asserts of a suite are what it is for

from collections.abc import Iterator

import pytest

from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.blobs import BlobConformance
from opstore_daemon.savers.conformance.common import SaverHooks
from opstore_daemon.savers.conformance.drafts import DraftConformance
from opstore_daemon.savers.conformance.publishing import PublishConformance

__all__ = ["SaverConformance", "SaverHooks"]


class SaverConformance(DraftConformance, PublishConformance, BlobConformance):
    """All of it. A saver joins by inheriting from this and supplying the hooks."""

    @pytest.fixture
    def saver(self) -> Iterator[BaseSaver]:
        saver = self.make_saver()
        yield saver
        self.check_leftovers(saver)

    def check_leftovers(self, saver: BaseSaver) -> None:
        """Nothing but blobs is left once the drafts are discarded."""
        assert self.leftovers(saver) == 0, "neither a blob nor a draft"
        for upload in list(saver.drafts()):
            saver.discard(upload)
        assert list(saver.drafts()) == [], "a draft is still there after its discard"
        assert self.leftovers(saver) == 0, "a trace of a draft that was discarded"
