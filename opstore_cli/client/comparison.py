"""The verb `diff`: compare the records of two versions, and the files of two folders."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal

from opstore_cli.client.mixin import ApiMixin
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.comparison import ComparedField, compare_fields
from opstore_daemon.protocol.folder_format import FILE, FOLDER, InvalidFolder
from opstore_daemon.protocol.records import Record, VersionRecord
from opstore_daemon.protocol.records.html_tables import heading, table
from opstore_daemon.protocol.records.short_text import counted, short_text
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.folders.listing import ListedEntry
    from opstore_cli.transfer.download import Pull

MAX_BYTES = 1024**3  # of two folders together that are compared without being asked for


class FileDifference(Record, frozen=True, kw_only=True):
    """A file, link or folder that differs. `one` and `other`: bytes of a file, else None."""

    path: str
    change: Literal["added", "removed", "changed"]
    one: int | None
    other: int | None

    SIZES = frozenset({"one", "other"})

    def _summary(self) -> str:
        """Return the change and the path."""
        return f"{self.change} {short_text(self.path)}"


class Difference(Record, frozen=True, kw_only=True):
    """The difference between two versions.

    `files` is None if the files were not compared, because the versions are not both folders, or are too large.
    """

    one: VersionRecord
    other: VersionRecord
    fields: tuple[ComparedField, ...]
    files: tuple[FileDifference, ...] | None

    def _summary(self) -> str:
        """Return the two versions, and how much differs."""
        words = [f"{self.one} and {self.other}", counted(len(self.fields), "fields")]
        if self.files is not None:
            words.append(counted(len(self.files), "files"))
        return ", ".join(words)

    def _repr_html_(self) -> str:
        """Return a table of the fields that differ, and one of the files."""
        parts = [heading(self._summary()), table(self.fields)]
        if self.files is not None:
            parts.append(table(self.files))
        return "".join(parts)

    @property
    def are_folders(self) -> bool:
        """Whether both versions are stored folders."""
        return all(each.is_folder and each.digest is not None for each in (self.one, self.other))


class ComparisonMixin(ApiMixin):
    """The verb that compares versions."""

    def diff(self, one: str | Reference, other: str | Reference, *, files: bool | None = None) -> Difference:
        """Return what differs between two versions: fields of their records and, of folders, their files.

        Args:
            one: a version.
            other: another version, of the same op or of another one.
            files: whether to compare the files of folders, for which both are downloaded and verified; by default if
                they have at most 1 GiB together.

        Returns:
            Difference: the records `one` and `other`, the `fields` that differ, and the `files` that differ.

        Raises:
            OpNotFound: an op does not exist.
            VersionNotFound: a reference selects no version.
            FolderRefused: a folder is not in the form that opstore writes, or has too many entries.
            IntegrityFailure: the bytes that arrived are wrong.

        Examples:
            >>> [each.field for each in client.diff("pca@1.0.0", "pca@2.0.0").fields]
            ['version', 'registered_at', 'size', 'major', 'patch', 'digest']
        """
        first, second = self.show(str(Reference.parse(one))), self.show(str(Reference.parse(other)))
        fields = tuple(each for each in compare_fields(first, second) if each.differs)
        found = Difference(one=first, other=second, fields=fields, files=None)
        if files is None:
            files = first.digest == second.digest or (first.size or 0) + (second.size or 0) <= MAX_BYTES
        if not (files and found.are_folders):
            return found
        compared: tuple[FileDifference, ...] = ()
        if first.digest != second.digest:
            compared = tuple(_compare(self._listing(first), self._listing(second)))
        return Difference(one=first, other=second, fields=fields, files=compared)

    def _listing(self, version: VersionRecord) -> "Mapping[bytes, ListedEntry]":
        """Return the entries of a folder, from bytes that were verified."""
        from opstore_cli.folders.listing import FolderLister

        lister = FolderLister()
        start_pull: Callable[..., AbstractContextManager[Pull]] = self.start_pull  # type: ignore[attr-defined]
        try:
            with start_pull(f"{version.op}@{version.version}", expected=version) as pull:
                pull.to_stream(lister)  # type: ignore[arg-type]
        except InvalidFolder as error:
            raise errors.FolderRefused(op=version.op, version=version.version, reason=str(error)) from None
        return lister.entries


def _compare(one: "Mapping[bytes, ListedEntry]", other: "Mapping[bytes, ListedEntry]") -> Iterator[FileDifference]:
    for path in sorted({*one, *other}):
        first, second = one.get(path), other.get(path)
        if first == second or all(each is None or each.entry.kind == FOLDER for each in (first, second)):
            continue  # a folder is there or not as its files are
        yield FileDifference(
            path=path.decode(errors="backslashreplace"),
            change="added" if first is None else "removed" if second is None else "changed",
            one=_size(first),
            other=_size(second),
        )


def _size(listed: "ListedEntry | None") -> int | None:
    return listed.entry.size if listed is not None and listed.entry.kind == FILE else None
