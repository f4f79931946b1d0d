"""The check of the storage: what is there and should not be, and how many blobs no version refers to."""

from collections.abc import Generator, Iterator, Sequence

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.savers.examination import Irregularity, Suspect
from opstore_daemon.store import journal
from opstore_daemon.store.maintenance.blob_checks import check_suspect, raise_outage
from opstore_daemon.store.maintenance.pages import Page, Steps
from opstore_daemon.store.maintenance.references import unreferenced

ENTRIES = 1000  # of the storage, after which a page ends
BATCH = 200  # blobs that one query looks up

_Entry = Digest | Suspect | Irregularity
_MISTAKEN = "move it away: no version needs it"


def check_storage(page: Page, begin: str) -> Steps:
    """Look at the parts of the storage, several in one page if there is little in them."""
    parts = page.saver.parts()
    if not begin:
        _check_identity(page)
    seen = 0
    for part in parts[parts.index(begin) + 1 if begin else 0 :]:
        for entries in _batches(page, part):
            seen += len(entries)
            yield from _look(page, entries)
            page.check_client()
        if seen >= ENTRIES:
            return part if part != parts[-1] else None
    return None


def _batches(page: Page, part: str) -> Iterator[Sequence[_Entry]]:
    """Yield what is in the part, a few entries at a time. Raises what `raise_outage` raises."""
    batch: list[_Entry] = []
    try:
        for entry in page.saver.survey(part):
            batch.append(entry)
            if len(batch) == BATCH:
                yield batch
                batch = []
    except errors.Unavailable as error:
        _add_unreadable(page, f"{page.saver.place()}, part {part}", error)
    if batch:
        yield batch


def _look(page: Page, entries: Sequence[_Entry]) -> Generator[None, None, None]:
    suspects = {entry.digest for entry in entries if isinstance(entry, Suspect)}
    for entry in entries:
        if isinstance(entry, Irregularity):
            page.add(entry.kind, entry.what, entry.observed, entry.advice)
    for digest in suspects:
        yield from check_suspect(page, digest)
    digests = [entry for entry in entries if isinstance(entry, Digest)]
    with page.database.read() as connection:
        garbage = unreferenced(connection, [*digests, *suspects])
    surveyed = page.saver.find(garbage) if page.saver.survey_compares else {}
    for digest in garbage:
        if digest in surveyed and digest not in suspects:
            page.garbage, page.garbage_size = page.garbage + 1, page.garbage_size + surveyed[digest].size
        else:
            _look_at_garbage(page, digest)
    yield


def _look_at_garbage(page: Page, digest: Digest) -> None:
    """Count a blob that no version refers to."""
    try:
        stored = page.saver.examine(digest)
    except errors.BlobNotFound:  # meanwhile
        return
    except errors.Unavailable as error:
        _add_unreadable(page, digest, error)
        return
    if stored.is_other:
        page.add("foreign", digest, stored.problem or "", _MISTAKEN)
        return
    page.garbage += 1
    page.garbage_size += stored.size


def _add_unreadable(page: Page, what: str, error: errors.Unavailable) -> None:
    raise_outage(page.saver, error)
    page.add("unreadable", what, error.text, error.advice or f"look at the disk of {page.saver.place()}")


def _check_identity(page: Page) -> None:
    """Compare the store id and the position in the storage with those of the database."""
    saver = page.saver
    if not saver.carries_id:
        return
    try:
        of_saver, position = saver.store_id(), saver.position()  # before that of the database, which grows
    except errors.ObjectStoreFailed:
        raise
    except (errors.Unavailable, errors.IntegrityFailure) as error:
        page.add("identity", saver.place(), error.text, error.advice or page.database.advice)
        return
    of_database = page.database.store_id()
    if of_saver is not None and of_saver != of_database:
        observed = f"it carries the id of the store {of_saver}, and the database is that of {of_database}"
        page.add("identity", saver.place(), observed, "stop the daemon, and start it with the folder of its own blobs")
    with page.database.read() as connection:
        last = journal.last(connection)
    if position > last:
        observed = f"it has the blobs up to position {position}, and the database ends at {last}"
        page.add("identity", saver.place(), observed, page.database.advice)
