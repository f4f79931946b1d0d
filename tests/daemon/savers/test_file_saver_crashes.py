"""Whichever system call of FileSaver fails or is the last before a crash, the client can resume."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from opstore_daemon.protocol import errors
from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, OTHER, UPLOAD, get, put
from tests.daemon.savers.on_disk import BLOB, DAMAGED, begin, complete, damage, files
from tests.support.faults import Crash, Faults, dies, fails

SITUATIONS: dict[str, Callable[[FileSaver, Path], object]] = {
    "nothing": lambda saver, root: None,
    "the beginning of a draft": lambda saver, root: begin(saver),
    "the same blob": lambda saver, root: put(saver),
    "a damaged blob": lambda saver, root: (put(saver), damage(root)),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("crash", [True, False], ids=["crash", "error"])
@pytest.mark.parametrize("there", SITUATIONS)
def test_the_client_can_resume_whichever_system_call_fails_or_is_the_last(
    tmp_path: Path, there: str, crash: bool, links: bool
) -> None:
    """No part of a blob is ever visible, the next attempt succeeds, and nothing is left over."""
    for at in range(1, 100):
        root = tmp_path / str(at)
        SITUATIONS[there](FileSaver(root), root)
        with pytest.MonkeyPatch.context() as patch:
            if not links:
                patch.setattr(os, "link", fails(errno.EPERM))
            saver = FileSaver(root)
            with pytest.MonkeyPatch.context() as faulty:
                faults = Faults(faulty, at, crash=crash)
                with suppress(Crash, errors.StorageFailed):
                    complete(saver)
            if DIGEST in saver:
                assert get(saver) in ([DATA, DAMAGED] if there == "a damaged blob" else [DATA])
            complete(FileSaver(root) if crash else saver)
        assert get(saver) == DATA
        assert files(root) == {BLOB}
        if not faults.struck:
            break
    assert 8 < at < 99


def test_an_upload_can_be_discarded_after_any_crash(tmp_path: Path) -> None:
    for at in range(1, 100):
        root = tmp_path / str(at)
        saver = FileSaver(root)
        put(saver, upload=OTHER)
        damage(root)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, at, crash=True)
            with suppress(Crash):
                complete(saver)
        for upload in FileSaver(root).drafts():
            FileSaver(root).discard(upload)
        assert files(root) == {BLOB}
        if not faults.struck:
            break
    assert 8 < at < 99


def test_what_a_crash_during_discard_leaves_can_be_discarded_again(tmp_path: Path) -> None:
    saver = FileSaver(tmp_path)
    put(saver)
    damage(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", dies)
        patch.setattr(os, "unlink", dies)
        with pytest.raises(Crash):
            complete(saver)
    assert len(files(tmp_path)) == 3
    with pytest.MonkeyPatch.context() as patch:
        Faults(patch, 2, crash=True)
        with pytest.raises(Crash):
            saver.discard(UPLOAD)
    assert list(saver.drafts()) == [UPLOAD]
    saver.discard(UPLOAD)
    assert files(tmp_path) == {BLOB}
