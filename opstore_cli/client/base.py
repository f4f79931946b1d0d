"""BaseOpStoreClient: the verbs of the store, over any transport."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from opstore_cli.client import advice, arguments, mistakes, warnings
from opstore_cli.client.administration import AdministrationMixin
from opstore_cli.client.catalog import CatalogMixin
from opstore_cli.client.chariots import ChariotsMixin
from opstore_cli.client.comparison import ComparisonMixin
from opstore_cli.client.mixin import as_parameter, parse_references
from opstore_cli.client.progress import ProgressOption, show_progress
from opstore_cli.client.validity import ValidityMixin
from opstore_cli.client.verbs import verbs
from opstore_cli.objects.mixin import ObjectsMixin
from opstore_cli.transfer.progress import Progress
from opstore_cli.transport import expected
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.interface import Body, Response
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import (
    Compat,
    Fields,
    Level,
    Lock,
    NewVersion,
    NewYank,
    Otherwise,
    PickedYanked,
    Pushed,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Reference, TagName, selector_text
from opstore_daemon.protocol.times import When
from opstore_daemon.protocol.versions import Version

Warn = Callable[[PickedYanked], object]
WarnNotRecorded = Callable[[Pushed, Mapping[str, object], list[str]], object]


if TYPE_CHECKING:
    from opstore_cli.transfer.cache import Cache
    from opstore_cli.transfer.download import Pull
    from opstore_cli.transfer.source import Source


@verbs(unchecked=(ChariotsMixin,))
class BaseOpStoreClient(
    CatalogMixin, ComparisonMixin, ValidityMixin, AdministrationMixin, ChariotsMixin, ObjectsMixin, ABC
):
    """All verbs of the store, for a subclass that implements `request`, for example with an in-process test server.

    `progress`: whether transfers that take longer than half a second show their progress, or a function, which is
    called with (bytes so far, total bytes or None). None, the default, shows it to a person: in a notebook, and at the
    prompt of a Python on a terminal. True shows it anywhere, on stderr. `warn` is called with each yanked version that
    a reference selected; by default it issues a `YankedWarning`. Both may be set at any time.

    Names and references are strings or parsed (`OpName`, `Reference`), a string where a sequence of strings is expected
    is one string, and a time may be a `datetime`. Every verb raises `OpStoreError`s: InvalidArgument, which is a
    TypeError as well, for an argument of a wrong type, InvalidName, InvalidReference or InvalidVersion for an invalid
    string, the errors that the daemon responds with, those of the family `Unreachable`, and UnexpectedResponse.
    """

    def __init__(self, *, progress: ProgressOption = None, warn: Warn | None = None) -> None:
        with advice.notes(f"{type(self).__name__}()"):
            self.progress = progress
        self.warn: Warn = warn or warnings.warn
        self.warn_not_recorded: WarnNotRecorded = warnings.warn_not_recorded
        self._api = ApiClient(self)
        self._home: Path | None = None  # the folder for state files, from which a later process resumes

    if not TYPE_CHECKING:  # for a type checker, every name would be an attribute

        def __getattr__(self, name: str) -> None:
            raise mistakes.no_method(type(self), name)

    def __dir__(self) -> list[str]:
        """Return the names that completion offers: without the verbs that only a chariots application calls."""
        return [name for name in super().__dir__() if name.startswith("_") or name not in vars(ChariotsMixin)]

    @property
    def progress(self) -> ProgressOption:
        """Whether transfers show their progress, or the function that is called with it."""
        return self._progress

    @progress.setter
    def progress(self, progress: ProgressOption) -> None:
        self._progress: ProgressOption = arguments.progress("progress", progress)

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        """Send one request to the daemon, with the token added to its headers, and return the response.

        `path` is relative to the daemon's address. `parameters` is the query: a list becomes a repeated parameter,
        and None is omitted. `body` is bytes or a stream of known length. A GET, and a request with an
        `Idempotency-Key`, may be sent again; send any other request once. The response, whatever its status, has
        `status`, `headers`, `read(size)` and `close()`, as `http.client.HTTPResponse` has. Raises the errors of the
        family `Unreachable` if there is no response.
        """

    @property
    def address(self) -> str:
        """The daemon's name in error messages."""
        return type(self).__name__

    @property
    def identity(self) -> str:
        """The identity of the daemon, which is the same after a restart."""
        return self.address

    def push(
        self,
        op: str,
        source: "bytes | BinaryIO | Path | str | Source",
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        subversions: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str | Reference] = (),
        valid_with: Sequence[str | Reference] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        filename: str | None = None,
        executable: bool = False,
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
        new_ops: Compat | None = None,
        follow_links: bool = False,
        exclude: Sequence[str] = (),
    ) -> Pushed:
        """Store bytes, a file or a folder as a version of the op, with its links and tags, in one transaction.

        If the latest version has the same bytes, nothing is created, and the record's `created` is False. Tags, labels
        and links are recorded on that version; a NotRecordedWarning says if the message or the libraries are not.

        Args:
            op: the name of the op, which is created if it does not exist.
            source: bytes, the path of a file or folder (whose format is then `folder`), or a binary file object, which
                is read from its current position. A path with 8 MiB or more resumes the upload of an earlier process.
            bump: the level that changes: `major`, `minor` or `patch` (default). Not with `fields` or `subversions`.
            fields: what the op declares, by level: `{"major": {"whiten": "true"}}`.
            subversions: three hashes, `MAJOR.MINOR.PATCH`.
            otherwise: what to do if `subversions` or `fields` name a version with other bytes: `refuse`, or `patch`,
                which stores them as a new patch version with copies of the valid links.
            new: create a version even if the bytes are unchanged, or are those of a yanked version.
            valid_for: references of downstream versions that the new version is valid for.
            valid_with: references of upstream versions that are valid for the new version.
            labels: values by key.
            message: a text for people.
            tags: tags to move to the version.
            filename: the file name to record (default: that of the file at the path).
            executable: whether a pull makes the file executable (default: whether the file at the path is).
            format: what the bytes are, as `load` understands it. The store does not interpret it.
            libraries: versions of the libraries that made the bytes, by name.
            new_ops: the compatibility level of a new op (None: `exact`). If it is set, ops of `valid_for` that do not
                exist are created, too.
            follow_links: store what the links in a folder lead to, also outside of it, in place of the links.
            exclude: gitignore patterns of entries of a folder to skip, in addition to those in its `.opstoreignore`.
                `.git` is skipped too, unless `!.git` is among them.

        Returns:
            Pushed: the version, and whether this push created it.

        Raises:
            FileRefused: the source can't be read, changes while it is read, or is a folder that can't be stored.
            VersionConflict: the declared version has other bytes.
            BytesYanked: the bytes are those of a yanked version.
            OpNotFound: an op of `valid_for` or `valid_with` does not exist.
            VersionNotFound: one of their versions does not exist.
            NoVersionYet: an op of `valid_for` has no version, and its name does not end in `@any`.
            StorageFull: the daemon's disk is full.

        Examples:
            >>> client.push("pca", b"the bytes", labels={"run": "17"}, tags="best")
            <Pushed pca@..., tags best, created True>
        """
        from opstore_cli.transfer import upload

        name = OpName.parse(op)
        declared = NewVersion(
            bump=bump,
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            otherwise=otherwise,
            new=new,
            valid_for=parse_references(valid_for),
            valid_with=parse_references(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(map(TagName.parse, tags)),
            filename=filename,
            executable=executable,
            format=format,
            libraries=dict(libraries or {}),
            new_ops=new_ops,
        )
        with self._show_progress(f"push {name}") as moved:
            pushed = upload.push(
                self._api, name, source, declared, self._home, moved, follow_links=follow_links, exclude=exclude
            )
        return self._warned(pushed, declared)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        subversions: str | None = None,
        valid_for: Sequence[str | Reference] = (),
        valid_with: Sequence[str | Reference] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Register a version without bytes, for an op whose code is its state.

        Args:
            op: the name of the op, which is created if it does not exist.
            fields: what the op declares, by level. Exactly one of `fields` and `subversions` is required.
            subversions: three hashes, `MAJOR.MINOR.PATCH`.
            valid_for: references of downstream versions that the new version is valid for.
            valid_with: references of upstream versions that are valid for the new version.
            labels: values by key.
            message: a text for people.
            new_ops: the compatibility level of a new op, as for `push`.

        Returns:
            Pushed: the version, and whether it was created.

        Raises:
            InvalidRequest: neither or both of `fields` and `subversions` are passed.
            VersionConflict: the version was removed.
            OpNotFound: an op of `valid_for` or `valid_with` does not exist.
            VersionNotFound: one of their versions does not exist.
            NoVersionYet: an op of `valid_for` has no version, and its name does not end in `@any`.

        Examples:
            >>> client.register("cleaner", fields={"major": {"stop_words": "en"}}).version
            '1.0.0'
        """
        name = OpName.parse(op)
        declared = NewVersion(
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            valid_for=parse_references(valid_for),
            valid_with=parse_references(valid_with),
            labels=dict(labels or {}),
            message=message,
            new_ops=new_ops,
        )
        pushed = self._api.request("POST", routes.path(routes.VERSIONS, op=name), Pushed, body=declared)
        return self._warned(self._api.check_pushed(pushed, name, declared), declared)

    def _warned(self, pushed: Pushed, declared: NewVersion) -> Pushed:
        """Return the record; warn first if something of the declaration was not recorded."""
        # The libraries describe bytes of their format; `save` itself sees to another format.
        libraries = declared.libraries if declared.format == pushed.format else None
        missing = warnings.not_recorded(pushed, message=declared.message, libraries=libraries)
        if missing:
            recorded = {name: getattr(declared, name) for name in ("tags", "labels", "valid_for", "valid_with")}
            self.warn_not_recorded(pushed, recorded, missing)
        return pushed

    @overload
    def pull(self, reference: str | Reference) -> bytes: ...
    @overload
    def pull(self, reference: str | Reference, to: Path | str | BinaryIO, overwrite: bool = False) -> VersionRecord: ...
    def pull(
        self, reference: str | Reference, to: Path | str | BinaryIO | None = None, overwrite: bool = False
    ) -> bytes | VersionRecord:
        """Return the verified bytes of a version; or write them to `to` and return the version's record.

        A pull to a path is atomic, and resumes an earlier one. A version whose format is `folder` is unpacked there.
        If the path has the bytes already, it is left alone.

        Args:
            reference: the version: `pca`, `pca@1.2.0`, `pca@best`, ...
            to: a path or a binary file object, which gets the last bytes only after all are verified.
            overwrite: replace anything else at the path.

        Returns:
            bytes or VersionRecord: the bytes without `to`, else the version's record.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            OutputExists: something else is at the path.
            OutputFailed: the output can't be written, or `to.write` raised anything but BrokenPipeError.
            FileRefused: the path is a folder, or its folder does not exist.
            FolderRefused: the bytes are no folder that can be unpacked.
            IntegrityFailure: the bytes do not match their digest.

        Examples:
            >>> client.pull("pca@1.0.0")
            b'components'
            >>> client.pull("pca@1.0.0", "pca.bin")
            <VersionRecord pca@1.0.0, ...>
        """
        from opstore_cli.files.part_file import may_resume
        from opstore_cli.transfer.output_path import check_path

        if to is None:
            with self.start_pull(reference) as pull:
                return pull.to_bytes()
        if isinstance(to, Path | str):
            path = Path(to)
            check_path(path, overwrite)
            with self.start_pull(reference, client_verifies=True, resume=may_resume(path.parent, path.name)) as pull:
                pull.to_path(path, overwrite)
        else:
            with self.start_pull(reference) as pull:
                pull.to_stream(to)
        return pull.record

    def pull_lock(
        self, lock: Lock, folder: Path | str, overwrite: bool = False, *, keep_suffix: bool = False
    ) -> list[VersionRecord]:
        """Write the bytes of all versions of a lock as FOLDER/OP.

        All bytes are verified before anything in the folder is replaced; what has the right digest is left alone.

        Args:
            lock: `client.resolve(...).lock()`, or one that was read from a file.
            folder: the path of a folder that exists.
            overwrite: replace what is there otherwise.
            keep_suffix: append the suffix of the file that was pushed.

        Returns:
            list of VersionRecord: the versions that have bytes.

        Raises:
            LockConflict: the store has other bytes for a version.
            VersionNotFound: the store does not have a version.
            OutputExists: something else is at a path.
            OutputFailed: the folder does not exist or can't be written.
            IntegrityFailure: bytes do not match their digest.

        Examples:
            >>> client.pull_lock(client.resolve("iris").lock(), ".", overwrite=True)
            [<VersionRecord pca@..., ...>, <VersionRecord forest@..., ...>]
        """
        from opstore_cli.client import locks
        from opstore_cli.transfer.pull_all import pull_all

        pairs = zip(locks.records(lock, self.show), lock.versions, strict=True)
        versions = [version for version, locked in pairs if locked.digest is not None]
        parts = [(version.op, version.size) for version in versions]
        with show_progress(self._progress, f"pull {len(versions)} ops", parts) as display:
            outcomes = pull_all(
                self.start_pull, versions, Path(folder), overwrite, display, keep_suffix=keep_suffix
            ).outcomes
        failure = next((each for each in outcomes if isinstance(each, errors.OpStoreError)), None)
        if failure is not None:
            raise failure
        return versions

    def start_pull(
        self,
        reference: str | Reference,
        *,
        client_verifies: bool = False,
        resume: bool = False,
        expected: VersionRecord | None = None,
        progress: ProgressOption = None,
    ) -> "AbstractContextManager[Pull]":
        """Start a pull whose record is known before its bytes are read.

        Args:
            reference: the version.
            client_verifies: only the client verifies the bytes; use it only for `Pull.to_path`.
            resume: a part of an earlier pull may exist.
            expected: the record of an earlier response; any other version is refused.
            progress: used instead of the client's: True, False, or a function of (bytes so far, total bytes).

        Returns:
            context manager of Pull: it has `record`, `to_bytes()`, `to_stream(output)` and `to_path(target,
            overwrite)`.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            UnexpectedResponse: the version is not the expected one.

        Examples:
            >>> with client.start_pull("pca@1.0.0") as pull:
            ...     print(pull.record.size, pull.to_bytes())
            10 b'components'
        """
        pull = self._start_pull(Reference.parse(reference), progress, client_verifies, resume, expected)
        return advice.with_notes(pull, "client.start_pull()")

    @contextmanager
    def _start_pull(
        self,
        reference: Reference,
        progress: ProgressOption,
        client_verifies: bool,
        resume: bool,
        expected: VersionRecord | None,
    ) -> "Iterator[Pull]":
        from opstore_cli.transfer import download

        with (
            self._show_progress(f"pull {reference}", progress) as moved,
            download.start_pull(
                self._api,
                reference.op,
                selector_text(reference.selector),
                moved,
                self._home,
                client_verifies=client_verifies,
                resume=resume,
                expected=expected,
            ) as pull,
        ):
            yield pull

    @contextmanager
    def _show_progress(self, title: str, option: ProgressOption = None) -> Iterator[Progress]:
        """Show the progress of one transfer until the block ends; yield the function to report it with."""
        with show_progress(self._progress if option is None else option, title) as display:
            yield partial(display.moved, 0)

    def path(self, reference: str | Reference) -> Path:
        """Return the local path of a verified copy of a version, in a cache; a second call transfers no bytes.

        The copy is read-only and named by its digest. It stays as long as the returned object lives; afterwards it may
        be deleted in favour of newer ones, if the cache is larger than OPSTORE_CACHE_SIZE. Many processes may use the
        cache.

        Args:
            reference: the version.

        Returns:
            Path: a file, or a folder for a version whose format is `folder`.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            OutputFailed: the cache can't be written.
            FolderRefused: the bytes are no folder that can be unpacked.
            IntegrityFailure: the bytes do not match their digest.

        Examples:
            >>> path = client.path("pca@1.0.0")
            >>> path.read_bytes()
            b'components'
        """
        parsed = Reference.parse(reference)
        return self._cached(self._api.version(parsed.op, selector_text(parsed.selector)))

    def _cached(self, version: VersionRecord) -> Path:
        from opstore_cli.transfer.download import Pull

        def pull(target: Path) -> None:
            with self._show_progress(f"pull {version}") as moved:
                Pull(self._api, version, None, moved, None).to_path(target, overwrite=True)

        return self._cache().path(version, pull)

    @contextmanager
    def _verified(self, version: VersionRecord) -> Iterator[BinaryIO]:
        """Open the verified bytes of a version, in the cache, or without one if it can't be written or is too small."""
        from opstore_cli.objects import formats
        from opstore_cli.transfer.download import Pull

        cached = None
        if not version.is_folder and (version.size or 0) <= self._cache().size:
            with suppress(errors.OutputFailed):
                cached = self._cached(version)
        with formats.temporary_file() if cached is None else open(cached, "rb") as file:
            if cached is None:
                with self._show_progress(f"pull {version}") as moved:
                    Pull(self._api, version, None, moved, None).to_stream(file)
            yield file

    def _cache(self) -> "Cache":
        from opstore_cli.config import cache
        from opstore_cli.transfer.cache import Cache

        return Cache(cache.cache_folder(os.environ, Path.cwd()), cache.cache_size(os.environ, {}))

    def show(self, reference: str | Reference, *, as_of: When | None = None) -> VersionRecord:
        """Return the record of one version.

        Args:
            reference: the version.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            VersionRecord: its number, digest, size in bytes, labels, tags and so on.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.

        Examples:
            >>> client.show("pca@1.0.0").size
            10
        """
        parsed = Reference.parse(reference)
        return self._api.version(parsed.op, selector_text(parsed.selector), as_of)

    def versions(
        self,
        op: str | Reference,
        *,
        valid_for: Sequence[str | Reference] = (),
        label: Sequence[str] = (),
        limit: int | None = None,
        as_of: When | None = None,
    ) -> Versions:
        """Return the versions of an op, newest first.

        Args:
            op: the name of the op, or a reference, which restricts the list to versions that its selector matches.
            valid_for: references of downstream versions; only versions that are valid for all of them are returned.
            label: labels that the versions have to have, each `KEY` or `KEY=VALUE`; one text is one label.
            limit: the most versions to return.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            Versions: a sequence of `VersionRecord`; `skipped` has the newer versions that are not valid, with reasons.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: a version of `valid_for` does not exist.
            TooMuchWork: too many versions would have to be looked at.

        Examples:
            >>> [each.version for each in client.versions("pca")]
            ['2.0.0', '1.0.0']
            >>> [each.version for each in client.versions("pca", valid_for="forest")]
            ['1.0.0']
        """
        parsed = Reference.parse(op)
        parameters: dict[str, Any] = {
            "valid_for": as_parameter(valid_for),
            "label": list(map(LabelFilter.parse, label)),
            "as_of": as_of,
        }
        if not parsed.bare:
            parameters["select"] = selector_text(parsed.selector)
        pages: list[Versions] = []
        for page in self._api.pages(routes.path(routes.VERSIONS, op=parsed.op), Versions, parameters, limit):
            fits = expected.is_page_of_versions(page, parsed, parameters["label"])
            pages.append(self._api.expect(page, fits, f"the versions of {parsed}"))
        first, last = pages[0], pages[-1]
        return Versions(
            op=first.op,
            versions=tuple(version for page in pages for version in page.versions),
            skipped=first.skipped,
            verdict=first.verdict,
            picked_yanked=first.picked_yanked,
            next_cursor=last.next_cursor,
        )

    def yank(self, reference: str | Reference, reason: str) -> VersionRecord:
        """Yank a version, so that only its version number, digest, subversions or a lock select it.

        Verdicts do not change.

        Args:
            reference: the version.
            reason: why, for everybody who selects it.

        Returns:
            VersionRecord: the version, yanked.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.

        Examples:
            >>> client.yank("pca@2.0.0", "leaks the target").yanked
            True
        """
        return self._set_yank(reference, reason)

    def unyank(self, reference: str | Reference) -> VersionRecord:
        """Undo a yank.

        Args:
            reference: the version, by version number, digest or subversions.

        Returns:
            VersionRecord: the version, no longer yanked.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.

        Examples:
            >>> client.unyank("pca@2.0.0").yanked
            False
        """
        return self._set_yank(reference, None)

    def _set_yank(self, reference: str | Reference, reason: str | None) -> VersionRecord:
        yanked = Reference.parse(reference)
        path = routes.path(routes.YANK, op=yanked.op, selector=selector_text(yanked.selector))
        record = self._api.request("PUT", path, VersionRecord, body=NewYank(reason=reason))
        self._api.check(record, yanked.op, yanked.selector)
        return self._api.expect(record, record.yank_reason == reason, f"{yanked}, yanked or not")
