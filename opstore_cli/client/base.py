"""BaseOpStoreClient: the verbs of the store, asked over whatever carries a request."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, overload

from opstore_cli.client import polling, warnings
from opstore_cli.client.chariots import ChariotsVerbs
from opstore_cli.objects.mixin import ObjectVerbs
from opstore_cli.transport.api import Asking, Body, Response
from opstore_daemon.protocol import errors, limits, routes
from opstore_daemon.protocol.names import check_name, is_name
from opstore_daemon.protocol.records import (
    Affected,
    ChangeOp,
    Check,
    Compat,
    Fields,
    Invitation,
    Level,
    Linked,
    LinkRecord,
    Links,
    LinkState,
    Lock,
    NewLink,
    NewPipeline,
    NewTag,
    NewVersion,
    NewYank,
    OpRecord,
    Ops,
    Otherwise,
    PickedYanked,
    PipelineRecord,
    Pipelines,
    Pushed,
    Resolution,
    Status,
    Tagged,
    TagRecord,
    Tags,
    UnfinishedUpload,
    UnfinishedUploads,
    Validation,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import parse_reference, written
from opstore_daemon.protocol.versions import Version

Progress = Callable[[int, int | None], None]
Notify = Callable[[Validation], None]
Warn = Callable[[PickedYanked], object]


class _Page(Protocol):
    @property
    def next_cursor(self) -> str | None: ...


if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull
    from opstore_cli.transfer.source import Source

P = TypeVar("P", bound=_Page)


class BaseOpStoreClient(ChariotsVerbs, ObjectVerbs, ABC):
    """Every verb, for a subclass that carries requests: to a server in process, say, in a test.

    `progress` is called with (bytes so far, all bytes or None) while bytes move, `warn` with each yanked version that a
    reference picked; without it that is a `YankedWarning`. Both may be set at any time. Every verb raises
    `OpStoreError`s.
    """

    def __init__(self, *, progress: Progress | None = None, warn: Warn | None = None) -> None:
        self.progress: Progress = progress or say_nothing
        self.warn: Warn = warn or warnings.warn
        self._asking = Asking(self)
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
        """As `OpStoreVerbs.push`. A `Path` or `str` is the path of a file, or of a folder, whose format is `folder`
        then; a file object is read from where it stands.

        A path of 8 MiB or more goes on where an earlier process stopped. Also raises FileRefused, for what can't be
        read, what changes while it is read, and what can't be in a folder.
        """
        from opstore_cli.transfer import upload as uploads

        check_name(op)
        _check_references(valid_for, valid_with)
        declared = NewVersion(
            bump=bump,
            fields=fields,
            subversions=subversions,
            otherwise=otherwise,
            new=new,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(tags),
            format=format,
            libraries=dict(libraries or {}),
        )
        return uploads.push(self._asking, op, source, declared, self._home, self.progress)

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
        check_name(op)
        _check_references(valid_for, valid_with)
        declared = NewVersion(
            fields=fields,
            subversions=subversions,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        pushed = self._asking.call("POST", routes.path(routes.VERSIONS, op=op), Pushed, body=declared)
        return self._asking.check(pushed, op, None if subversions is None else Version.parse(subversions))

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
        from opstore_cli.files.part_file import is_left
        from opstore_cli.transfer import download

        if to is None:
            with self.begin_pull(reference) as pull:
                return pull.to_bytes()
        if isinstance(to, Path | str):
            place = Path(to)
            download.check_place(place, overwrite)
            with self.begin_pull(reference, unchecked=True, left=is_left(place.parent, place.name)) as pull:
                pull.to_path(place, overwrite)
        else:
            with self.begin_pull(reference) as pull:
                pull.to_stream(to)
        return pull.record

    def begin_pull(
        self, reference: str, *, unchecked: bool = False, left: bool = False, expected: VersionRecord | None = None
    ) -> "AbstractContextManager[Pull]":
        """The same, where what is done with the bytes depends on the version: its record is known before they come.

        `unchecked`: the client alone verifies them, for what goes to a path (`Pull.to_path`). `left`: some of them may
        be there from an earlier pull. `expected`: the version that an earlier response named, and no other is taken.
        """
        from opstore_cli.transfer import download

        asked = parse_reference(reference)
        selector = written(asked.selector)
        return download.begun(
            self._asking,
            asked.op,
            selector,
            self.progress,
            self._home,
            unchecked=unchecked,
            left=left,
            expected=expected,
        )

    def show(self, reference: str, *, as_of: str | None = None) -> VersionRecord:
        asked = parse_reference(reference)
        return self._asking.version(asked.op, written(asked.selector), as_of)

    def versions(
        self, op: str, *, valid_for: Sequence[str] = (), limit: int | None = None, as_of: str | None = None
    ) -> Versions:
        _check_references(valid_for)
        parsed = parse_reference(op)
        parameters: dict[str, Any] = {"valid_for": list(valid_for), "as_of": as_of}
        if not parsed.bare:
            parameters["select"] = written(parsed.selector)
        pages = list(self._pages(routes.path(routes.VERSIONS, op=parsed.op), Versions, parameters, limit))
        first, last = pages[0], pages[-1]
        for page in pages:
            if page.op != parsed.op:
                raise self._asking.unexpected(f"versions of {page.op[:130]}", parsed.op)
            for record in page.versions:
                self._asking.check(record, parsed.op, parsed.selector)
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
        asked = parse_reference(reference)
        path = routes.path(routes.YANK, op=asked.op, selector=written(asked.selector))
        record = self._asking.call("PUT", path, VersionRecord, body=NewYank(reason=reason))
        return self._asking.check(record, asked.op, asked.selector)

    # --- tags -----------------------------------------------------------------------------------------------------

    def tag(self, references: str | Sequence[str], tag: str) -> list[TagRecord]:
        versions = (references,) if isinstance(references, str) else tuple(references)
        _check_references(versions)
        moved = self._asking.call("POST", routes.TAGS, Tagged, body=NewTag(tag=check_name(tag), versions=versions))
        return list(moved.tags)

    def untag(self, op: str, tag: str) -> None:
        self._asking.call("DELETE", routes.path(routes.TAG, op=check_name(op), tag=check_name(tag)), None)

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        asked = {"op": op if op is None else check_name(op), "history": "1" if history else None, "as_of": as_of}
        return [tag for page in self._pages(routes.TAGS, Tags, asked) for tag in page.tags]

    # --- ops ------------------------------------------------------------------------------------------------------

    def ops(self) -> list[OpRecord]:
        return [op for page in self._pages(routes.OPS, Ops) for op in page.ops]

    def op(self, name: str) -> OpRecord:
        return self._of_op(self._asking.call("GET", routes.path(routes.OP, op=check_name(name)), OpRecord), name)

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        path = routes.path(routes.OP, op=check_name(op))
        return self._of_op(self._asking.call("PATCH", path, OpRecord, body=ChangeOp(compat=compat)), op)

    def _of_op(self, record: OpRecord, op: str) -> OpRecord:
        if record.name != op:
            raise self._asking.unexpected(f"the op {record.name[:130]}", f"the op {op}")
        return record

    # --- links and verdicts ---------------------------------------------------------------------------------------

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        return self._enter_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        return self._enter_link(upstream, downstream, "revoked", None)

    def _enter_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> LinkRecord:
        _check_references([upstream, downstream])
        entry = NewLink(upstream=upstream, downstream=downstream, state=state, evidence=evidence)
        return self._asking.call("POST", routes.LINKS, Linked, body=entry).link

    def links(
        self,
        op: str | None = None,
        *,
        upstream: str | None = None,
        downstream: str | None = None,
        history: bool = False,
        limit: int | None = None,
        as_of: str | None = None,
    ) -> list[LinkRecord]:
        asked = {"op": op, "upstream": upstream, "downstream": downstream}
        for name in asked.values():
            if name is not None:
                check_name(name)
        pages = self._pages(routes.LINKS, Links, {**asked, "history": "1" if history else None, "as_of": as_of}, limit)
        return [link for page in pages for link in page.links]

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        _check_references([upstream, downstream])
        parameters = {"upstream": upstream, "downstream": downstream, "as_of": as_of}
        return self._asking.call("GET", routes.VERDICT, Validation, parameters=parameters)

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None) -> Validation:
        _check_references(use)
        path = routes.path(routes.PIPELINE_VERDICT, pipeline=check_name(pipeline))
        return self._asking.call("GET", path, Validation, parameters={"use": list(use), "as_of": as_of})

    def wait(self, *asked: str, seconds: float, use: Sequence[str] = (), notify: Notify | None = None) -> Validation:
        """The verdict over a pipeline, or for an upstream and a downstream version, asked again until it is valid or
        known to be invalid, or the time is over.

        Known to be invalid is what an entry says; what is merely not validated may be so yet. `notify` is called with
        each verdict that is waited on. A daemon that is away for a while is asked again, too.
        """
        if len(asked) not in (1, 2):
            raise errors.InvalidRequest(reason="one pipeline is waited for, or one upstream and one downstream version")
        _check_references(asked, use)
        path, parameters = routes.VERDICT, dict(zip(("upstream", "downstream"), asked, strict=False))
        if len(asked) == 1:
            path, parameters = routes.path(routes.PIPELINE_VERDICT, pipeline=check_name(asked[0])), {}

        def ask(etag: str | None) -> tuple[Validation | None, str]:
            return self._asking.ask_again(path, Validation, {**parameters, "use": list(use)}, etag)

        return polling.until_known(ask, seconds, notify or say_nothing)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Sequence[str] = (),
        upgrade: str | None = None,
        as_of: str | None = None,
    ) -> Resolution:
        _check_references(use, lock)
        path = routes.path(routes.RESOLUTION, pipeline=check_name(pipeline))
        asked = {"use": list(use), "lock": list(lock), "upgrade": upgrade, "as_of": as_of}
        resolution = self._asking.call("GET", path, Resolution, parameters=asked)
        ops = [version.op for version in resolution.versions]
        if not all(is_name(op) for op in ops) or len(ops) > len(set(ops)):
            raise self._asking.unexpected(f"the ops {ops!r:.200}", f"the resolution of {pipeline}")
        for version in resolution.versions:
            self._asking.check(version, version.op)
        return resolution

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        return self._asking.call("POST", routes.path(routes.CHECK, pipeline=check_name(pipeline)), Check, body=lock)

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        _check_references([reference])
        asked = {"reference": reference, "pipeline": pipeline, "as_of": as_of}
        return self._asking.call("GET", routes.AFFECTED, Affected, parameters=asked)

    # --- pipelines ------------------------------------------------------------------------------------------------

    def register_pipeline(
        self, name: str, ops: Sequence[str] = (), edges: Sequence[tuple[str, str]] | None = None
    ) -> PipelineRecord:
        for each in (name, *ops, *(end for edge in edges or () for end in edge)):
            check_name(each)
        graph = None if edges is None else tuple((upstream, downstream) for upstream, downstream in edges)
        pipeline = NewPipeline(name=name, ops=tuple(ops), edges=graph)
        return self._asking.call("POST", routes.PIPELINES, PipelineRecord, body=pipeline)

    def pipelines(self) -> list[PipelineRecord]:
        return [pipeline for page in self._pages(routes.PIPELINES, Pipelines) for pipeline in page.pipelines]

    def pipeline(self, name: str) -> PipelineRecord:
        return self._asking.call("GET", routes.path(routes.PIPELINE, pipeline=check_name(name)), PipelineRecord)

    def remove_pipeline(self, name: str) -> None:
        self._asking.call("DELETE", routes.path(routes.PIPELINE, pipeline=check_name(name)), None)

    # --- the daemon -----------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The daemon that answers."""
        return self._asking.call("GET", routes.STATUS, Status)

    def invite(self) -> Invitation:
        """The path, at the daemon's address, that begins one session of its page: once, and within a minute. Whoever
        asks for it first may read the page, so show it to nobody.
        """
        invitation = self._asking.call("POST", routes.SESSIONS, Invitation)
        if not invitation.path.startswith("/"):  # behind the port it would name another host
            raise self._asking.unexpected(f"the path {invitation.path[:100]!r}", "a session of the page")
        return invitation

    def end_sessions(self) -> None:
        """Ends every session of the page that was begun with this client's token."""
        self._asking.call("DELETE", routes.SESSIONS, None)

    def uploads(self) -> list[UnfinishedUpload]:
        """What was begun with this token and no version was made of yet, also what is being sent now."""
        pages = self._pages(routes.UPLOADS, UnfinishedUploads)
        return [upload for page in pages for upload in page.uploads]

    def _pages(
        self, path: str, kind: type[P], parameters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[P]:
        """The pages of a list, until it ends or `limit` rows were asked for."""
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit is at least 1")
        left, cursor = limit, None
        while True:
            rows = limits.MAX_LIMIT if left is None else min(left, limits.MAX_LIMIT)
            asked = {**(parameters or {}), "limit": rows, "cursor": cursor}
            page = self._asking.call("GET", path, kind, parameters=asked)
            yield page
            left = None if left is None else left - rows
            if page.next_cursor is None or left == 0:
                return
            if page.next_cursor == cursor:
                raise errors.DaemonUnreachable(url=self.address, reason="its list does not end")
            cursor = page.next_cursor


def _check_references(*lists: Sequence[str]) -> None:
    """Refuses what is no reference before bytes move."""
    for references in lists:
        for reference in references:
            parse_reference(reference)


def say_nothing(*_: object) -> None:
    """Where nobody listens."""
