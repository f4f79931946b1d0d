"""The saver that stands in for an object store keeps the contract of savers that several daemons can use."""

import pytest

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers import BaseSaver
from opstore_daemon.savers.conformance import SharedConformance
from opstore_daemon.savers.conformance.drafts import DraftConformance
from opstore_daemon.savers.conformance.publishing import PublishConformance
from tests.support.shared_saver import SharedSaver, SharedStore


class TestSharedSaver(DraftConformance, PublishConformance, SharedConformance):
    @pytest.fixture
    def saver(self) -> BaseSaver:
        return self.make_saver()

    def make_saver(self) -> BaseSaver:
        return SharedSaver(SharedStore())

    def reopen(self, saver: BaseSaver) -> BaseSaver:
        return SharedSaver(_store(saver))

    def raw_read(self, saver: BaseSaver, digest: Digest) -> bytes | None:
        return _store(saver).blobs.get(digest)

    def raw_write(self, saver: BaseSaver, digest: Digest, data: bytes) -> None:
        _store(saver).blobs[digest] = data

    def leftovers(self, saver: BaseSaver) -> int:
        return 0


def _store(saver: BaseSaver) -> SharedStore:
    assert isinstance(saver, SharedSaver)
    return saver.store
