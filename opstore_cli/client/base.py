"""BaseOpStoreClient: the verbs of the store, asked over whatever carries a request."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from opstore_cli.client import warnings
from opstore_cli.client.administration import AdministrationMixin
from opstore_cli.client.catalog import CatalogMixin
from opstore_cli.client.chariots import ChariotsMixin
from opstore_cli.client.mixin import ignore
from opstore_cli.client.validity import ValidityMixin
from opstore_cli.objects.mixin import ObjectsMixin
from opstore_cli.transfer.progress import Progress
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.interface import Body, Response
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import (
    Fields,
    Level,
    NewVersion,
    NewYank,
    Otherwise,
    PickedYanked,
    Pushed,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import Reference, TagName, check_references, selector_text
from opstore_daemon.protocol.versions import Version

Warn = Callable[[PickedYanked], object]


if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull
    from opstore_cli.transfer.source import Source


class BaseOpStoreClient(CatalogMixin, ValidityMixin, AdministrationMixin, ChariotsMixin, ObjectsMixin, ABC):
    """Every verb, for a subclass that carries requests: to a server in process, say, in a test.

    `progress` is called with (bytes so far, all bytes or None) while bytes move, `warn` with each yanked version that a
    reference picked; without it that is a `YankedWarning`. Both may be set at any time. Every verb raises
    `OpStoreError`s.
    """

    def __init__(self, *, progress: Progress | None = None, warn: Warn | None = None) -> None:
        self.progress: Progress = progress or ignore
        self.warn: Warn = warn or warnings.warn
        self._api = ApiClient(self)
        self._home: Path | None = None  # where it is noted how far an upload is, for a later process

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
        """Carries one request to the daemon, with the token added to its headers, and returns what answers.

        `path` is below the daemon's address. `parameters` are the query: a list is a parameter that comes several
        times, a None one that does not come. `body` is bytes or a stream of known length. A GET, and what has an
        `Idempotency-Key`, may be sent again; anything else is to be sent once. The answer has `status`, `headers`,
        `read(size)` and `close()`, as `http.client.HTTPResponse` has, and is returned whatever the status. Raises
        the errors of the family `Unreachable` where no answer comes.
        """

    @property
    def address(self) -> str:
        """The daemon, in errors."""
        return type(self).__name__

    @property
    def identity(self) -> str:
        """What stays the same of the daemon when it restarts."""
        return self.address

    # --- versions and bytes ---------------------------------------------------------------------------------------

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
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
    ) -> Pushed:
        """As `OpStoreInterface.push`. A `Path` or `str` is the path of a file, or of a folder, whose format is `folder`
        then; a file object is read from where it stands.

        A path of 8 MiB or more goes on where an earlier process stopped. Also raises FileRefused, for what can't be
        read, what changes while it is read, and what can't be in a folder.
        """
        from opstore_cli.transfer import upload as uploads

        name = OpName.parse(op)
        declared = NewVersion(
            bump=bump,
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            otherwise=otherwise,
            new=new,
            valid_for=tuple(map(Reference.parse, valid_for)),
            valid_with=tuple(map(Reference.parse, valid_with)),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(map(TagName.parse, tags)),
            format=format,
            libraries=dict(libraries or {}),
        )
        return uploads.push(self._api, name, source, declared, self._home, self.progress)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        subversions: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        name = OpName.parse(op)
        declared = NewVersion(
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            valid_for=tuple(map(Reference.parse, valid_for)),
            valid_with=tuple(map(Reference.parse, valid_with)),
            labels=dict(labels or {}),
            message=message,
        )
        pushed = self._api.request("POST", routes.path(routes.VERSIONS, op=name), Pushed, body=declared)
        return self._api.check(pushed, name, declared.subversions)

    @overload
    def pull(self, reference: str) -> bytes: ...
    @overload
    def pull(self, reference: str, to: Path | str | BinaryIO, overwrite: bool = False) -> VersionRecord: ...
    def pull(
        self, reference: str, to: Path | str | BinaryIO | None = None, overwrite: bool = False
    ) -> bytes | VersionRecord:
        """The verified bytes of a version, or the version, once its bytes are written to `to`.

        A path gets all the bytes or none, and goes on where an earlier pull stopped; a version whose format is
        `folder` is unpacked there, all of it or nothing. The last bytes come to a file object only after all are
        verified. Also raises NotStored, OutputExists, FileRefused, FolderRefused, OutputFailed and IntegrityFailure;
        what `to.write` of a file object raises comes as OutputFailed, but for BrokenPipeError.
        """
        from opstore_cli.files.part_file import may_resume
        from opstore_cli.transfer.output_path import check_path

        if to is None:
            with self.start_pull(reference) as pull:
                return pull.to_bytes()
        if isinstance(to, Path | str):
            place = Path(to)
            check_path(place, overwrite)
            with self.start_pull(reference, client_verifies=True, resume=may_resume(place.parent, place.name)) as pull:
                pull.to_path(place, overwrite)
        else:
            with self.start_pull(reference) as pull:
                pull.to_stream(to)
        return pull.record

    def start_pull(
        self,
        reference: str,
        *,
        client_verifies: bool = False,
        resume: bool = False,
        expected: VersionRecord | None = None,
    ) -> "AbstractContextManager[Pull]":
        """The same, where what is done with the bytes depends on the version: its record is known before they come.

        `client_verifies`: the client alone verifies them, for what goes to a path (`Pull.to_path`). `resume`: some of
        them may be there from an earlier pull. `expected`: the version that an earlier response named; no other is
        accepted.
        """
        from opstore_cli.transfer import download

        asked = Reference.parse(reference)
        selector = selector_text(asked.selector)
        return download.start_pull(
            self._api,
            asked.op,
            selector,
            self.progress,
            self._home,
            client_verifies=client_verifies,
            resume=resume,
            expected=expected,
        )

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        asked = Reference.parse(reference)
        return self._api.version(asked.op, selector_text(asked.selector), as_of)

    def versions(
        self, op: str, *, valid_for: Sequence[str] = (), limit: int | None = None, as_of: str | None = None
    ) -> Versions:
        check_references(valid_for)
        parsed = Reference.parse(op)
        parameters: dict[str, Any] = {"valid_for": list(valid_for), "as_of": as_of}
        if not parsed.bare:
            parameters["select"] = selector_text(parsed.selector)
        pages = list(self._api.pages(routes.path(routes.VERSIONS, op=parsed.op), Versions, parameters, limit))
        first, last = pages[0], pages[-1]
        for page in pages:
            if page.op != parsed.op:
                raise self._api.unexpected(f"versions of {page.op[:130]}", parsed.op)
            for record in page.versions:
                self._api.check(record, parsed.op, parsed.selector)
        return Versions(
            op=first.op,
            versions=tuple(version for page in pages for version in page.versions),
            skipped=first.skipped,
            verdict=first.verdict,
            picked_yanked=first.picked_yanked,
            next_cursor=last.next_cursor,
        )

    def yank(self, reference: str, reason: str) -> VersionRecord:
        return self._set_yank(reference, reason)

    def unyank(self, reference: str) -> VersionRecord:
        return self._set_yank(reference, None)

    def _set_yank(self, reference: str, reason: str | None) -> VersionRecord:
        asked = Reference.parse(reference)
        path = routes.path(routes.YANK, op=asked.op, selector=selector_text(asked.selector))
        record = self._api.request("PUT", path, VersionRecord, body=NewYank(reason=reason))
        return self._api.check(record, asked.op, asked.selector)
