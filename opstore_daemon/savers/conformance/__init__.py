"""The conformance tests that every saver passes: a pytest class to inherit from, with a few hooks to supply.

    class TestMySaver(SaverConformance):
        def make_saver(self): ...                      # an empty saver
        def reopen(self, saver): ...                   # the same place, as after a restart of the process
        def raw_read(self, saver, digest): ...         # the bytes that are stored, or None
        def raw_write(self, saver, digest, data): ...  # replace them by other bytes
        def leftovers(self, saver): ...                # how many things are no blob, draft, trash or quarantine

A saver that several daemons can use joins SharedConformance, too.

The raw hooks bypass the saver: a saver whose reads and writes are wrong in the same way would pass otherwise. After
each test its drafts are discarded, and there must be no leftovers except the files that acquire() and claim() created.
"""
# ruff: noqa: S101 - these are tests

from collections.abc import Iterator

import pytest

from opstore_daemon.savers.base import BaseSaver
from opstore_daemon.savers.conformance.blobs import BlobConformance
from opstore_daemon.savers.conformance.collection import CollectionConformance
from opstore_daemon.savers.conformance.common import SaverHooks
from opstore_daemon.savers.conformance.drafts import DraftConformance
from opstore_daemon.savers.conformance.examination import ExaminationConformance
from opstore_daemon.savers.conformance.ownership import OwnershipConformance
from opstore_daemon.savers.conformance.publishing import PublishConformance
from opstore_daemon.savers.conformance.sharing import SharedConformance

__all__ = ["SaverConformance", "SaverHooks", "SharedConformance"]


class SaverConformance(
    DraftConformance,
    PublishConformance,
    BlobConformance,
    CollectionConformance,
    ExaminationConformance,
    OwnershipConformance,
):
    """All conformance tests. Inherit from this class and supply the hooks."""

    @pytest.fixture
    def saver(self) -> Iterator[BaseSaver]:
        saver = self.make_saver()
        try:
            yield saver
        finally:
            saver.release()
        self.check_leftovers(saver)

    def check_leftovers(self, saver: BaseSaver) -> None:
        """Check that only blobs are left once the drafts are discarded, and what says whose they are."""
        expected = self.identity_files
        assert self.leftovers(saver) == expected, "neither a blob nor a draft nor in the trash"
        for upload in list(saver.drafts()):
            saver.discard(upload)
        assert list(saver.drafts()) == [], "a draft is still there after its discard"
        assert self.leftovers(saver) == expected, "a trace of a draft that was discarded"
