"""The file system `opstore://`, which fsspec finds by the entry point `fsspec.specs`."""

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path

from opstore_cli.client import advice
from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.client.client import OpStoreClient
from opstore_cli.folders.members import Member, Members
from opstore_cli.fsspec import paths
from opstore_cli.fsspec.changes import Changes
from opstore_cli.fsspec.description import describe, root_of
from opstore_cli.fsspec.patterns import Patterns
from opstore_cli.fsspec.reading import Access, Content, OpStoreReader, check_read_options, observed
from opstore_cli.fsspec.writing import check_options
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.folder_format import FOLDER
from opstore_daemon.protocol.records import VersionRecord

_OWN_OPTIONS = ("client", "endpoint_url", "token", "url", "whole")
_OF_FSSPEC = ("use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop")
MAX_FOLDERS = 8  # whose members are kept in memory


class _Instances(type(AbstractFileSystem)):  # type: ignore[misc]
    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if options.get("client") is not None:
            options["skip_instance_cache"] = True  # its key would be the text of the client, which others have too
        made = super().__call__(*arguments, **options)
        # They are in pickles and in `to_json()`.
        made.storage_options = {name: value for name, value in made.storage_options.items() if name != "token"}
        return made


class OpStoreFileSystem(Changes, Patterns, AbstractFileSystem, metaclass=_Instances):  # type: ignore[misc]
    """The versions of a store as files: `NAME@SELECTOR`, or `NAME@SELECTOR/PATH` for a file in a folder.

    `NAME` is the latest version, and what a write adds a version to. As a folder, it lists its versions.
    """

    protocol = paths.PROTOCOL

    def __init__(
        self,
        *,
        url: str | None = None,
        endpoint_url: str | None = None,
        token: str | None = None,
        client: BaseOpStoreClient | None = None,
        whole: bool | None = None,
        **options: Any,
    ) -> None:
        """Use the `client`, or one of the daemon at `url`; without both, find the daemon as the commands do.

        `endpoint_url` is `url` under another name, as `fsspec.url_to_fs` has an argument `url` of its own.
        `whole`: whether a version is pulled into the local cache before it is read; None: if it has at most 16 MiB.
        Other options are those of `client.push` for all writes (`writing.OPTIONS`).
        """
        super().__init__(**{name: options.pop(name) for name in _OF_FSSPEC if name in options})
        if (client is not None) + (url is not None or token is not None) + (
            endpoint_url is not None and url is not None
        ) > 1:
            raise errors.InvalidRequest(reason="pass either client=, or url= and token=")
        with advice.notes("OpStoreFileSystem()"):
            self._options = check_options(options, _OWN_OPTIONS)
        self.client = OpStoreClient(endpoint_url if url is None else url, token=token) if client is None else client
        self._whole, self._has_token = whole, token is not None
        self._folders: dict[str, tuple[Content, Members]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        options = dict(self.storage_options)
        if self._has_token:  # the pickle of a client has no token
            options = {name: value for name, value in options.items() if name not in ("url", "endpoint_url")}
            options["client"] = self.client
        return _restore, (type(self), options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return paths.strip(stringify_path(path))

    # --- look ---------------------------------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what is known of the version or file. Raises PathNotFound, which is a FileNotFoundError."""
        path = self._strip_protocol(path)
        return describe(path, *self._find(path)) if path else {"name": "", "type": "directory", "size": 0}

    def ls(self, path: str, detail: bool = True, versions_of: str | None = None, **_: Any) -> list[Any]:
        """Return the ops, the versions of an op that are not yanked, or the files in a folder.

        `versions_of`: at the root, return the versions of the ops that match this pattern.
        """
        found = list(self._entries(self._strip_protocol(path), versions_of))
        return found if detail else [each["name"] for each in found]

    def _entries(self, path: str, versions_of: str | None) -> Iterator[dict[str, Any]]:
        if not path:
            for op in self.client.ops():
                if op.latest is not None and versions_of is None:
                    yield {"name": op.name, "type": "directory", "size": 0}
                elif op.latest is not None and fnmatchcase(op.name, versions_of or ""):
                    yield from self._entries(op.name, None)
        elif "@" not in path and "/" not in path:
            with paths.missing(path):
                versions = self.client.versions(paths.parse(path)[0].op)
            yield from (
                describe(str(each), each, root_of(each)) for each in versions if each.digest and not each.yanked
            )
        else:
            version, member = self._find(path)
            if member is None or member.entry.kind != FOLDER:
                yield describe(path, version, member)
            else:
                yield from self._children(path, version, member)

    def _children(self, path: str, version: VersionRecord, folder: Member) -> Iterator[dict[str, Any]]:
        members = self._folder(version)[1]
        for child in members.children(folder.entry.path.decode()):
            member = members.find(child)  # what a link leads to, if anything
            # A folder that is reached by a link is not listed: it may contain the link, and a walk would never end.
            if member is not None and (member.entry.kind != FOLDER or member.entry.path.decode() == child):
                yield describe(f"{path}/{child.rpartition('/')[2]}", version, member)

    def exists(self, path: str, **_: Any) -> bool:
        """Return whether anything is at the path. Errors other than that nothing is there are raised."""
        try:
            return bool(self.info(path))
        except FileNotFoundError:
            return False

    def isfile(self, path: str) -> bool:
        """Return whether a file is at the path. Errors other than that nothing is there are raised."""
        try:
            return bool(self.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def created(self, path: str) -> datetime:
        """Return when the version was registered."""
        return self._find(self._strip_protocol(path))[0].registered_at

    modified = created

    def _find(self, path: str) -> tuple[VersionRecord, Member | None]:
        """Return the version, and the member if the version is a folder. Raises PathNotFound."""
        with paths.missing(path):
            reference, inner = paths.parse(path)
            version = self.client.show(reference)
            if version.digest is None:
                raise errors.NotStored(op=version.op, version=version.version)
        member = self._folder(version)[1].find(inner) if version.is_folder and inner else root_of(version)
        if (member is None) if version.is_folder else inner:
            reason = f"{version} has no such file" if version.is_folder else f"{version} is a file, not a folder"
            raise paths.noted(errors.PathNotFound(path=path, reason=reason, advice=""))
        return version, member

    def _folder(self, version: VersionRecord) -> tuple[Content, Members]:
        found = self._folders.get(str(version.digest))
        if found is None:
            content = Content(self.client, version, self._whole)
            found = self._folders[str(version.digest)] = content, content.members()
            for oldest in list(self._folders)[:-MAX_FOLDERS]:
                self._folders.pop(oldest, None)
        return found

    # --- read and write -----------------------------------------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> Any:
        if mode != "rb":
            return self._open_new(path, mode, **options)
        check_read_options(options)
        version, member = self._find(path)
        if member is not None and member.entry.kind == FOLDER:
            file = next(self._children("", version, member), {"name": "/FILE"})["name"]
            raise paths.noted(errors.PathIsFolder(path=path, file=file[1:]))
        content = Content(self.client, version, self._whole) if member is None else self._folder(version)[0]
        observed(Access(self.client, path, version))
        return OpStoreReader(self, content, member, describe(path, version, member), block_size=block_size, **options)


def _restore(kind: type[OpStoreFileSystem], options: dict[str, Any]) -> OpStoreFileSystem:
    return kind(**options)
