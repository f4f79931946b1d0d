"""What a comparison of two versions shows: `opstore diff` and the page list the same fields in the same order."""

from collections.abc import Iterator

from opstore_daemon.protocol.records import Record, VersionRecord
from opstore_daemon.protocol.records.short_text import short_text


class ComparedField(Record, frozen=True, kw_only=True):
    """A field of two versions, as text; None if a version does not have it."""

    field: str
    one: str | None
    other: str | None

    def _summary(self) -> str:
        """Return the field and both values."""
        return f"{self.field}: {short_text(self.one)} and {short_text(self.other)}"

    @property
    def differs(self) -> bool:
        """Whether the two versions have different texts."""
        return self.one != self.other


def compare_fields(one: VersionRecord, other: VersionRecord) -> Iterator[ComparedField]:
    """Yield each field of two versions: what a person looks for comes first, hashes last.

    A label is the field `label KEY`, a library `library NAME`, and the subversions are `major`, `minor` and `patch`.
    """

    def field(name: str, first: object, second: object) -> ComparedField:
        texts = [None if each is None else str(each) for each in (first, second)]
        return ComparedField(field=name, one=texts[0], other=texts[1])

    yield field("op", one.op, other.op)
    yield field("version", one.version, other.version)
    yield field("registered_at", *(each.registered_at.isoformat().replace("+00:00", "Z") for each in (one, other)))
    yield field("author", one.author, other.author)
    yield field("size", one.size, other.size)
    yield field("message", one.message, other.message)
    for name, first, second in (("label", one.labels, other.labels), ("library", one.libraries, other.libraries)):
        for key in sorted({*first, *second}):
            yield field(f"{name} {key}", first.get(key), second.get(key))
    yield field("tags", ", ".join(one.tags) or None, ", ".join(other.tags) or None)
    yield field("yanked", one.yank_reason, other.yank_reason)
    yield field("format", one.format, other.format)
    yield field("filename", one.filename, other.filename)
    yield field("executable", *("yes" if each.executable else None for each in (one, other)))
    levels = zip(one.subversions.split("."), other.subversions.split("."), strict=True)
    for level, hashes in zip(("major", "minor", "patch"), levels, strict=True):
        yield field(level, *hashes)
    yield field("digest", one.digest, other.digest)
