"""OpStoreClient: the verbs of the store, over HTTP."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar, overload

from opstore_cli import config, downloads, target, uploads
from opstore_cli.http import Http
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import check_name
from opstore_daemon.protocol.records import (
    ChangeOp,
    Compat,
    Fields,
    Level,
    LinkRecord,
    Links,
    LinkState,
    NewLink,
    NewPipeline,
    NewVersion,
    OpRecord,
    Ops,
    PipelineRecord,
    Pipelines,
    Pushed,
    Status,
    Validation,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.references import parse_reference
from opstore_daemon.protocol.verbs import OpStoreVerbs

Progress = Callable[[int, int | None], None]


class _Page(Protocol):
    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=_Page)


class OpStoreClient(OpStoreVerbs):
    """A client of a daemon. Without arguments it finds (or starts) the local one, as the commands do.

    `progress` is called with (bytes so far, all bytes or None) while bytes move, and may be set later; `notify` with a
    line for people, such as "started the local daemon at ...". May be used from several threads. Nothing is sent, and
    no daemon looked for, before the first verb is called. Every verb raises `OpStoreError`s.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        settings: config.Settings | None = None,
        progress: Progress | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Raises InvalidSetting. `url` counts as given outright: what the settings name is not asked then."""
        if settings is None:
            settings = config.load(None, os.environ, config.working_folder())
        self.settings = settings if url is None else settings.with_url(url)
        self.progress: Progress = progress or _say_nothing
        self._notify = notify or _say_nothing
        self._http = Http(lambda: target.locate(self.settings, token, self._notify))

    @property
    def target(self) -> target.Target:
        """The daemon that this client talks to; looks for it if that was not done yet."""
        return self._http.target

    def close(self) -> None:
        """Closes the connections. The client may be used again after it."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- versions and bytes ---------------------------------------------------------------------------------------

    def push(
        self,
        op: str,
        source: bytes | BinaryIO | Path | str,
        *,
        bump: Level | None = None,
        fields: Fields | None = None,
        version: str | None = None,
        new: bool = False,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        """As `OpStoreVerbs.push`. A `Path` or `str` is a file's path; a file object is read from where it stands.

        A path of 8 MiB or more goes on where an earlier process stopped. Also raises FileRefused, for a folder, what
        can't be read, and what changes while it is read.
        """
        check_name(op)
        _check_references(valid_for, valid_with)
        declared = NewVersion(
            bump=bump,
            fields=fields,
            version=version,
            new=new,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        return uploads.push(self._http, op, source, declared, self.settings.home, self.progress)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        version: str | None = None,
        valid_for: Sequence[str] = (),
        valid_with: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
    ) -> Pushed:
        check_name(op)
        _check_references(valid_for, valid_with)
        declared = NewVersion(
            fields=fields,
            version=version,
            valid_for=tuple(valid_for),
            valid_with=tuple(valid_with),
            labels=dict(labels or {}),
            message=message,
        )
        return self._http.call("POST", routes.path(routes.VERSIONS, op=op), Pushed, body=declared)

    @overload
    def pull(self, reference: str) -> bytes: ...
    @overload
    def pull(self, reference: str, to: Path | str | BinaryIO, overwrite: bool = False) -> VersionRecord: ...
    def pull(
        self, reference: str, to: Path | str | BinaryIO | None = None, overwrite: bool = False
    ) -> bytes | VersionRecord:
        """The verified bytes of a version, or the version, once its bytes are written to `to`.

        A path gets all the bytes or none, and goes on where an earlier pull stopped; the last bytes come to a file
        object only after all are verified. Also raises NotStored, OutputExists, FileRefused, OutputFailed and
        IntegrityFailure; what `to.write` of a file object raises comes as OutputFailed, but for BrokenPipeError.
        """
        if to is None:
            return downloads.to_bytes(self._http, self.show(reference), self.progress)
        if isinstance(to, Path | str):
            place = Path(to)
            downloads.check_output(place, overwrite)
            record = self.show(reference)
            downloads.to_path(self._http, record, place, overwrite, self.progress)
        else:
            record = self.show(reference)
            downloads.to_stream(self._http, record, to, self.progress)
        return record

    def show(self, reference: str) -> VersionRecord:
        parsed = parse_reference(reference)
        path = routes.path(routes.VERSION, op=parsed.op, selector=str(parsed.selector))
        return self._http.call("GET", path, VersionRecord)

    def versions(self, op: str, *, valid_for: Sequence[str] = (), limit: int | None = None) -> Versions:
        _check_references(valid_for)
        parsed = parse_reference(op)
        parameters: dict[str, Any] = {"valid_for": list(valid_for)}
        if not parsed.bare:
            parameters["select"] = str(parsed.selector)
        pages = list(self._pages(routes.path(routes.VERSIONS, op=parsed.op), Versions, parameters, limit))
        first, last = pages[0], pages[-1]
        return Versions(
            op=first.op,
            versions=tuple(version for page in pages for version in page.versions),
            passed_over=first.passed_over,
            verdict=first.verdict,
            next_cursor=last.next_cursor,
        )

    # --- ops ------------------------------------------------------------------------------------------------------

    def ops(self) -> list[OpRecord]:
        return [op for page in self._pages(routes.OPS, Ops) for op in page.ops]

    def op(self, name: str) -> OpRecord:
        return self._http.call("GET", routes.path(routes.OP, op=check_name(name)), OpRecord)

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        path = routes.path(routes.OP, op=check_name(op))
        return self._http.call("PATCH", path, OpRecord, body=ChangeOp(compat=compat))

    # --- links and verdicts ---------------------------------------------------------------------------------------

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        return self._enter_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        return self._enter_link(upstream, downstream, "revoked", None)

    def _enter_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> LinkRecord:
        _check_references([upstream, downstream])
        entry = NewLink(upstream=upstream, downstream=downstream, state=state, evidence=evidence)
        return self._http.call("POST", routes.LINKS, LinkRecord, body=entry)

    def links(self, op: str | None = None) -> list[LinkRecord]:
        parameters = {} if op is None else {"op": check_name(op)}
        return [link for page in self._pages(routes.LINKS, Links, parameters) for link in page.links]

    def validate(self, upstream: str, downstream: str) -> Validation:
        _check_references([upstream, downstream])
        parameters = {"upstream": upstream, "downstream": downstream}
        return self._http.call("GET", routes.VERDICT, Validation, parameters=parameters)

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = ()) -> Validation:
        _check_references(use)
        path = routes.path(routes.PIPELINE_VERDICT, pipeline=check_name(pipeline))
        return self._http.call("GET", path, Validation, parameters={"use": list(use)})

    # --- pipelines ------------------------------------------------------------------------------------------------

    def register_pipeline(
        self, name: str, ops: Sequence[str] = (), edges: Sequence[tuple[str, str]] | None = None
    ) -> PipelineRecord:
        for each in (name, *ops, *(end for edge in edges or () for end in edge)):
            check_name(each)
        graph = None if edges is None else tuple((upstream, downstream) for upstream, downstream in edges)
        pipeline = NewPipeline(name=name, ops=tuple(ops), edges=graph)
        return self._http.call("POST", routes.PIPELINES, PipelineRecord, body=pipeline)

    def pipelines(self) -> list[PipelineRecord]:
        return [pipeline for page in self._pages(routes.PIPELINES, Pipelines) for pipeline in page.pipelines]

    def pipeline(self, name: str) -> PipelineRecord:
        return self._http.call("GET", routes.path(routes.PIPELINE, pipeline=check_name(name)), PipelineRecord)

    def remove_pipeline(self, name: str) -> None:
        self._http.call("DELETE", routes.path(routes.PIPELINE, pipeline=check_name(name)), None)

    # --- the daemon -----------------------------------------------------------------------------------------------

    def status(self) -> Status:
        """The daemon that answers."""
        return self._http.call("GET", routes.STATUS, Status)

    def _pages(
        self, path: str, kind: type[P], parameters: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[P]:
        """The pages of a list, until it ends or `limit` rows were asked for."""
        if limit is not None and limit < 1:
            raise errors.InvalidRequest(reason="the limit is at least 1")
        left, cursor = limit, None
        while True:
            rows = routes.MAX_LIMIT if left is None else min(left, routes.MAX_LIMIT)
            asked = {**(parameters or {}), "limit": rows, "cursor": cursor}
            page = self._http.call("GET", path, kind, parameters=asked)
            yield page
            left = None if left is None else left - rows
            if page.next_cursor is None or left == 0:
                return
            if page.next_cursor == cursor:
                raise errors.DaemonUnreachable(url=self.target.url, reason="its list does not end")
            cursor = page.next_cursor


def _check_references(*lists: Sequence[str]) -> None:
    """Refuses what is no reference before bytes move."""
    for references in lists:
        for reference in references:
            parse_reference(reference)


def _say_nothing(*_: object) -> None:
    """Where nobody listens."""
