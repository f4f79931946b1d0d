"""What the tests of FileSaver share: a client that resumes, and a look at the disk."""

from contextlib import closing
from pathlib import Path

from opstore_daemon.savers import FileSaver
from opstore_daemon.savers.conformance.common import DATA, DIGEST, UPLOAD, read_back, receive
from tests.daemon.savers.joined import blob_path

BLOB, DAMAGED = blob_path(Path(), DIGEST), b"damaged"


def files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def damage(root: Path) -> None:
    (root / BLOB).chmod(0o600)
    (root / BLOB).write_bytes(DAMAGED)


def begin(saver: FileSaver) -> None:
    with closing(saver.draft(UPLOAD)) as draft:
        draft.append(DATA[:7])


def complete(saver: FileSaver) -> None:
    """Do what a client does: ask for the offset, send the rest, publish; then discard the draft as the store does."""
    with closing(saver.draft(UPLOAD)) as draft:
        assert read_back(draft) == DATA[: draft.offset]
        if draft.offset < len(DATA):
            receive(draft, DATA[draft.offset :])
        draft.publish(DIGEST)
    saver.discard(UPLOAD)
