"""Add copied versions to a store, each once: what is there already stays as it is."""

from collections.abc import Callable
from dataclasses import dataclass, field

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.exchange.content import BytesSource, Content
from opstore_cli.output.skipped import Skipped
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import LinkRecord, OpRecord, PipelineRecord, Pushed, VersionRecord
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.versions import Version

# Errors of a single item. All others end the run: no daemon, no permission, no space.
ITEM_ERRORS = (errors.Refused, errors.Conflict, errors.IntegrityFailure)


@dataclass
class CopiedVersion:
    """A version of the source, and its number in the store that it was copied to."""

    op: str
    source_version: str
    version: str

    def __str__(self) -> str:
        name = format_reference(self.op, self.version)
        if self.version == self.source_version:
            return name
        return f"{format_reference(self.op, self.source_version)} -> {name}"


@dataclass
class DeliveryReport:
    """The result of a copy. `created`: the versions that are new or got their bytes."""

    created: list[CopiedVersion] = field(default_factory=list)
    unchanged: int = 0
    links: int = 0
    tags: list[str] = field(default_factory=list)
    pipelines: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


class Delivery:
    """One run that adds content to a store. `on_created` is called with each new version, `skip` reports an item."""

    def __init__(
        self,
        client: BaseOpStoreClient,
        content: Content,
        source: BytesSource,
        *,
        on_created: Callable[[CopiedVersion], None],
        skip: Callable[[str, str, str], Skipped],
    ) -> None:
        self._client, self._content, self._source = client, content, source
        self._on_created, self._report_skipped = on_created, skip
        self._ops = {op.name: op for op in content.ops}
        self._existing: dict[str, dict[Version, VersionRecord]] = {}
        self._copies: dict[str, VersionRecord] = {}  # the version in the store for each reference of the source
        self._tagged: dict[str, dict[str, str | None]] = {}  # by op: the version of each tag in the store
        self._linked: dict[tuple[str, str], set[tuple[str, str | None]]] = {}  # by ops: (version, downstream version)
        self.report = DeliveryReport()

    def run(self) -> DeliveryReport:
        """Add versions, then links, tags and pipelines. An item that can't be added is reported and skipped.

        Raises errors that concern the whole run: no daemon, no permission, no space.
        """
        for version in self._content.versions:
            try:
                self._version(version)
            except ITEM_ERRORS as error:
                self._skip("version", str(version), error.text)
        for link in self._content.links:
            self._link(link)
        for version in self._content.versions:
            self._tags(version)
        for pipeline in self._content.pipelines:
            self._pipeline(pipeline)
        return self.report

    # --- versions -------------------------------------------------------------------------------------------------

    def _version(self, version: VersionRecord) -> None:
        existing = self._versions_of(version.op)
        subversions = Version.parse(version.subversions)
        found = existing.get(subversions)
        if found is not None and version.digest is not None and found.digest not in (None, version.digest):
            self._skip("version", str(version), f"{found} has the same subversions and other bytes, which stay")
            return
        if found is None or (found.digest is None and version.digest is not None):
            is_new_op = not existing
            found = self._add(version)
            existing[subversions] = found
            if is_new_op:
                self._describe(self._ops[version.op])
            copied = CopiedVersion(version.op, version.version, found.version)
            self.report.created.append(copied)
            self._on_created(copied)
        else:
            self.report.unchanged += 1
        if version.yank_reason is not None and not found.yanked:
            self._client.yank(str(found), version.yank_reason)
        self._copies[str(version)] = found

    def _versions_of(self, op: str) -> dict[Version, VersionRecord]:
        if op not in self._existing:
            try:
                found = {Version.parse(each.subversions): each for each in self._client.versions(op)}
            except errors.OpNotFound:
                found = {}
            self._existing[op] = found
        return self._existing[op]

    def _add(self, version: VersionRecord) -> Pushed:
        subversions = version.subversions if version.note is None else f"{version.subversions}_{version.note}"
        compat = self._ops[version.op].compat
        if version.digest is None:
            added = self._client.register(
                version.op, subversions=subversions, labels=version.labels, message=version.message, new_ops=compat
            )
        else:
            with self._source.open(version) as file:
                added = self._client.push(
                    version.op,
                    file,
                    subversions=subversions,
                    new=True,  # also the bytes of a version that is yanked there
                    labels=version.labels,
                    message=version.message,
                    filename=version.filename,
                    executable=version.executable,
                    format=version.format,
                    libraries=version.libraries,
                    new_ops=compat,
                )
        return added

    def _describe(self, op: OpRecord) -> None:
        if op.description:
            self._client.set_op(op.name, description=op.description)

    # --- links, tags, pipelines -----------------------------------------------------------------------------------

    def _link(self, link: LinkRecord) -> None:
        """Record the link, unless the store has ever had an entry between the two: it was changed or revoked there."""
        upstream = self._copies.get(format_reference(link.upstream, link.upstream_version))
        if upstream is None:
            return  # a version that was skipped, which has been reported
        number, downstream = None, format_reference(link.downstream, "any")
        if link.downstream_version is not None:
            copy = self._copies.get(format_reference(link.downstream, link.downstream_version))
            if copy is None:
                return
            number, downstream = copy.version, str(copy)
        elif not self._versions_of(link.downstream):
            return
        pair = (link.upstream, link.downstream)
        if pair not in self._linked:
            entries = self._client.links(upstream=link.upstream, downstream=link.downstream, history=True)
            self._linked[pair] = {(each.upstream_version, each.downstream_version) for each in entries}
        if (upstream.version, number) in self._linked[pair]:
            return
        try:
            self._client.link(str(upstream), downstream, valid=link.valid, evidence=link.evidence)
            self.report.links += 1
        except ITEM_ERRORS as error:
            self._skip("link", str(link), error.text)

    def _tags(self, version: VersionRecord) -> None:
        copy = self._copies.get(str(version))
        if copy is None or not version.tags:
            return
        if version.op not in self._tagged:
            self._tagged[version.op] = {tag.tag: tag.version for tag in self._client.tags(version.op)}
        there = self._tagged[version.op]
        for tag in version.tags:
            name = format_reference(version.op, tag)
            if tag not in there:
                self._client.tag(str(copy), tag)
                self.report.tags.append(name)
            elif there[tag] != copy.version:
                self._skip("tag", name, f"it is on version {there[tag]}, where it stays")

    def _pipeline(self, pipeline: PipelineRecord) -> None:
        levels = {op.compat for op in self._content.ops}
        try:
            added = self._client.register_pipeline(
                pipeline.name,
                list(pipeline.ops),
                edges=pipeline.edges,
                new_ops=levels.pop() if len(levels) == 1 else "exact",
            )
        except ITEM_ERRORS as error:
            self._skip("pipeline", pipeline.name, error.text)
            return
        if added.created:
            self.report.pipelines.append(pipeline.name)

    def _skip(self, what: str, name: str, reason: str) -> None:
        self.report.skipped.append(self._report_skipped(what, name, reason))
