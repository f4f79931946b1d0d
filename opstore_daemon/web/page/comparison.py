"""The comparison of two versions: their records, and the files of two folders by name and size."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from flask import Response
from msgspec import Meta

from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.store.reports.folder import FolderEntry, FolderListing
from opstore_daemon.web.framework.routing import Api, store
from opstore_daemon.web.page.rendering import AsOf, page
from opstore_daemon.web.page.words import readable

MAX_FILES = 200  # that are listed


class ComparisonQuery(AsOf, frozen=True, kw_only=True):
    """The two versions."""

    one: Annotated[Reference, Meta(description="The reference of a version.")]
    other: Annotated[Reference, Meta(description="The reference of another version.")]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of two versions; "" if a version does not have it. `is_code`: it is a hash."""

    name: str
    one: str
    other: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class FileDifference:
    """An entry of two folders; None where a folder does not have it."""

    path: str
    one: FolderEntry | None
    other: FolderEntry | None


@dataclass(frozen=True, slots=True)
class FolderComparison:
    """The entries that differ in name, size, kind, target or executable bit, and how many do not.

    `is_whole`: all entries of both folders were compared.
    """

    differences: list[FileDifference]
    same: int
    is_whole: bool


def comparison(_api: Api, query: ComparisonQuery) -> Response:
    """Show what differs between two versions."""
    one, other = (store().show(reference, as_of=query.value) for reference in (query.one, query.other))
    fields = list(_fields(one, other))
    folders = [store().folder(version) for version in (one, other)]
    return page(
        "comparison.html",
        query,
        "Overview",
        one=one,
        other=other,
        differences=[each for each in fields if each.one != each.other],
        same=[each.name for each in fields if each.one == each.other and each.one],
        files=_compare_folders(*folders),
        most=MAX_FILES,
    )


def _fields(one: VersionRecord, other: VersionRecord) -> Iterator[Difference]:
    def field(name: str, text: Callable[[VersionRecord], str | None], *, is_code: bool = False) -> Difference:
        return Difference(name, text(one) or "", text(other) or "", is_code)

    yield field("Registered", lambda each: readable(each.registered_at))
    yield field("Message", lambda each: each.message)
    yield from _entries("Label", one.labels, other.labels)
    yield field("Tags", lambda each: ", ".join(each.tags))
    yield field("Yanked", lambda each: each.yank_reason)
    yield field("Size", lambda each: "no bytes" if each.size is None else f"{each.size:,} bytes")
    yield field("Format", lambda each: each.format)
    yield from _entries("Made with", one.libraries, other.libraries)
    yield field("Digest", lambda each: each.digest, is_code=True)
    levels = zip(one.subversions.split("."), other.subversions.split("."), strict=True)
    for level, hashes in zip(("Major", "Minor", "Patch"), levels, strict=True):
        yield Difference(f"{level} subversion", *hashes, is_code=True)


def _entries(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    for key in sorted({*one, *other}):
        yield Difference(f"{name} {key}", one.get(key, ""), other.get(key, ""))


def _compare_folders(one: FolderListing | None, other: FolderListing | None) -> FolderComparison | None:
    """Return the comparison of two folders; None unless both versions are folders."""
    if one is None or other is None:
        return None
    ones, others = ({entry.path: entry for entry in listing.entries} for listing in (one, other))
    is_whole = one.is_whole and other.is_whole
    differences = [
        FileDifference(path, ones.get(path), others.get(path))
        for path in sorted({*ones, *others})
        if ones.get(path) != others.get(path)
    ]
    if not is_whole:  # an entry that only one listing has may be in the other folder, too
        differences = [each for each in differences if each.one and each.other]
    return FolderComparison(differences, len({*ones} & {*others}) - _changed(differences), is_whole)


def _changed(differences: list[FileDifference]) -> int:
    return sum(each.one is not None and each.other is not None for each in differences)
