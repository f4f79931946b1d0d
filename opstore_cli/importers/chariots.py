"""Import a chariots op store: its versions, links, bytes and pipelines, each once."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.client.chariots import LEVEL
from opstore_cli.client.mixin import ignore
from opstore_cli.importers.chariots_source import Files, names_in
from opstore_cli.output.document import Output
from opstore_cli.output.skipped import Skipped, report_skipped
from opstore_cli.transfer.source import open_source
from opstore_daemon.protocol import chariots_export, errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.names import is_name, suggest_name
from opstore_daemon.protocol.records import OpVersion, VersionRecord
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.versions import Version

# Errors of a single item of the old store.
_ITEM_ERRORS = (errors.Refused, errors.Conflict)


@dataclass
class ImportReport:
    """What a run imported. `created`: the versions that are new or got their bytes."""

    created: list[OpVersion] = field(default_factory=list)
    unchanged: int = 0
    links: int = 0
    pipelines: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


@dataclass
class _Op:
    """The existing versions of an op, and its links to whole ops, including revoked ones."""

    versions: dict[Version, VersionRecord]
    linked: set[tuple[str, str]]  # (version, downstream)


class ChariotsImport:
    """One import run, which prints what it does; `renames` maps old names to new ones."""

    def __init__(self, client: BaseOpStoreClient, files: Files, renames: Mapping[str, str], out: Output) -> None:
        self._client, self._files, self._renames, self._out = client, files, renames, out
        self._ops: dict[str, _Op] = {}
        self._reported: set[tuple[str, str]] = set()
        self.report = ImportReport()

    def run(self, lines: Iterable[chariots_export.Lines]) -> ImportReport:
        """Import everything in the order of the lines. An item that can't be imported is reported and skipped.

        Raises errors that concern the whole run: no daemon, no permission, no space.
        """
        for line in lines:
            match line:
                case chariots_export.Version():
                    self._version(line)
                case chariots_export.Pipeline():
                    self._pipeline(line)
                case chariots_export.Unreadable(what=what, name=name, reason=reason):
                    self._skip(what, name, reason)
        for path in self._files.unclaimed():
            self._skip("file", path, "the old store's database has no version of it")
        return self.report

    # --- versions -------------------------------------------------------------------------------------------------

    def _version(self, line: chariots_export.Version) -> None:
        op = self._name("op", line.op)
        if op is None:
            self._files.claim_all(line.op)
            return
        try:
            version = Version(line.major or "", line.minor or "", line.patch or "", creation_time=line.time)
            self._import_version(op, line, version)
        except _ITEM_ERRORS as error:
            self._skip("version", f"{line.op}@{line.major}.{line.minor}.{line.patch}", error.text, error.advice)

    def _import_version(self, op: str, line: chariots_export.Version, version: Version) -> None:
        existing, downstreams = self._existing(op), self._downstreams(op, line)
        path, digest = self._bytes(line.op, version)
        record = existing.versions.get(version)
        if record is not None:
            if digest is not None and record.digest not in (None, digest):
                self._skip("bytes", f"{line.op}@{version}", f"{op}@{record.version} has other bytes, which stay")
            # An imported link that was changed or revoked since then is not imported again.
            downstreams = [name for name in downstreams if (record.version, name) not in existing.linked]
            if record.digest is not None:
                path = None
            if path is None and not downstreams:
                self.report.unchanged += 1
                return
        valid_for = [f"{name}@any" for name in downstreams]
        if path is None:
            imported = self._client.register(op, subversions=version.text_with_time, valid_for=valid_for, new_ops=LEVEL)
        else:
            try:
                with self._out.progress(f"import {op}"):
                    imported = self._client.push(
                        op, path, subversions=version.text_with_time, valid_for=valid_for, new_ops=LEVEL
                    )
            except errors.BytesYanked as refusal:
                self._skip("bytes", f"{line.op}@{version}", refusal.text)
                return
        self.report.links += len(downstreams)
        if imported.created:
            self._report_created(OpVersion(op=op, version=imported.version))
        existing.versions[version] = imported
        existing.linked.update((imported.version, name) for name in downstreams)

    def _report_created(self, version: OpVersion) -> None:
        self.report.created.append(version)
        if not self._out.json:
            self._out.write_lines([format_reference(version.op, version.version)])

    def _downstreams(self, op: str, line: chariots_export.Version) -> list[str]:
        names = [self._name("op", name) for name in line.links]
        if op in names:
            self._skip_once("link", f"{line.op} -> {line.op}", "an op can't be its own upstream")
        return [name for name in names if name is not None and name != op]

    def _existing(self, op: str) -> _Op:
        if op not in self._ops:
            self._ops[op] = _Op({}, set())
            try:
                for record in self._client.versions(op).versions:
                    self._ops[op].versions[Version.parse(record.subversions)] = record
                for link in self._client.links(upstream=op, history=True):
                    if link.downstream_version is None:
                        self._ops[op].linked.add((link.upstream_version, link.downstream))
            except errors.OpNotFound:
                pass
        return self._ops[op]

    def _bytes(self, old_op: str, version: Version) -> tuple[Path | None, Digest | None]:
        """Return the file of the version and its digest; report a missing file, unless the op has no bytes at all."""
        try:
            path = self._files.claim(old_op, version)
            if path is not None:
                return path, _digest(path)
            if not self._files.has(old_op):
                return None, None
            reason = "it has no file"
        except _ITEM_ERRORS as error:
            reason = error.text
        self._skip("bytes", f"{old_op}@{version}", f"{reason}; the version was imported without them")
        return None, None

    # --- pipelines ------------------------------------------------------------------------------------------------

    def _pipeline(self, line: chariots_export.Pipeline) -> None:
        name = self._name("pipeline", line.name)
        if name is None:
            return
        ops: dict[str, None] = {}
        edges: list[tuple[str, str]] = []
        for old_upstream, old_downstream in line.links:
            upstream = self._name("op", old_upstream)
            downstream = None if old_downstream is None else self._name("op", old_downstream)
            if upstream is None or (downstream is None and old_downstream is not None):
                self._skip("pipeline", line.name, "one of its ops was skipped")
                return
            ops[upstream] = None
            edges += [] if downstream is None else [(upstream, downstream)]
        try:
            if self._client.register_pipeline(name, list(ops), edges=edges, new_ops=LEVEL).created:
                self.report.pipelines.append(name)
        except _ITEM_ERRORS as error:
            self._skip("pipeline", line.name, error.text, error.advice)

    # --- skipped items -----------------------------------------------------------------------------------------

    def _name(self, what: str, old: str) -> str | None:
        """Return the name after renaming; None if it is invalid, which is reported once."""
        name = self._renames.get(old, old)
        if is_name(name):
            return name
        option = shlex.quote(f"{old}={suggest_name(old) or 'NAME'}")
        reason = "this is not a valid name; everything that belongs to it was skipped"
        self._skip_once(what, old, reason, f"--rename {option}")
        return None

    def _skip_once(self, what: str, name: str, reason: str, hint: str = "") -> None:
        if (what, name) not in self._reported:
            self._reported.add((what, name))
            self._skip(what, name, reason, hint)

    def _skip(self, what: str, name: str, reason: str, hint: str = "") -> None:
        self.report.skipped.append(report_skipped(self._out, what, name, reason, hint))


def check_renames(lines: Iterable[chariots_export.Lines], renames: Mapping[str, str]) -> None:
    """Raise InvalidSetting if a rename matches no op or pipeline, or would merge two of them."""
    kinds = names_in(lines)
    for old, new in renames.items():
        setting = f"--rename {old}={new}"
        of_kind = [names for names in kinds if old in names]
        if not of_kind:
            raise errors.InvalidSetting(setting=setting, reason="the old store has no op and no pipeline of that name")
        for other in (name for names in of_kind for name in sorted(names)):
            if other != old and renames.get(other, other) == new:
                raise errors.InvalidSetting(setting=setting, reason=f"{other!r} has that name too")


def _digest(path: Path) -> Digest:
    """Return the digest of the file; raises FileRefused."""
    if not path.is_file():
        raise errors.FileRefused(path=str(path), reason="it is not a regular file")
    with open_source(path) as source:
        return source.digest(ignore)
