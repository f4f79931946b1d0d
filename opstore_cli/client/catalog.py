"""Ops, tags, pipelines, and what users write about versions."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from opstore_cli.client import locks
from opstore_cli.client.mixin import ApiMixin, parse_references
from opstore_cli.transport import expected
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.labels import LabelFilter
from opstore_daemon.protocol.names import Name, OpName, PipelineName
from opstore_daemon.protocol.records import (
    EXACT,
    ChangeOp,
    ChangeVersion,
    Compat,
    Journal,
    JournalEntry,
    Lock,
    NewPipeline,
    NewTag,
    OpRecord,
    Ops,
    PipelineRecord,
    Pipelines,
    Tagged,
    TagRecord,
    Tags,
    VersionDetails,
    VersionRecord,
)
from opstore_daemon.protocol.references import Reference, TagName, selector_text
from opstore_daemon.protocol.times import When


class CatalogMixin(ApiMixin):
    """Verbs for ops, edits, tags, pipelines and the journal. Names are strings or parsed; all raise InvalidName."""

    def tag(self, references: str | Reference | Sequence[str | Reference] | Lock, tag: str) -> list[TagRecord]:
        """Move the tag to a version, or atomically to one version of each of several ops.

        Args:
            references: one reference, several of different ops, or a lock.
            tag: the name of the tag.

        Returns:
            list of TagRecord: one for each version.

        Raises:
            InvalidTag: the name would be read as another selector.
            OpNotFound: an op does not exist.
            VersionNotFound: a version does not exist.
            LockConflict: the store has other bytes for a version of the lock.

        Examples:
            >>> client.tag(["pca@1.0.0", "forest@1.0.0"], "production")
            [<TagRecord pca@production: pca@1.0.0>, <TagRecord forest@production: forest@1.0.0>]
        """
        name = TagName.parse(tag)
        if isinstance(references, Lock):
            versions, body = locks.references(references), NewTag(tag=name, lock=references)
        else:
            versions = parse_references([references] if isinstance(references, str | Reference) else references)
            body = NewTag(tag=name, versions=versions)
        moved = self._api.request("POST", routes.TAGS, Tagged, body=body)
        return list(self._api.expect(moved, expected.are_tags(moved.tags, versions, name), f"the tag {name}").tags)

    def untag(self, op: str, tag: str) -> None:
        """Remove the tag from the op. Its moves stay in the history.

        Args:
            op: the name of the op.
            tag: the name of the tag.

        Raises:
            OpNotFound: the op does not exist.
            TagNotFound: the op has no such tag.

        Examples:
            >>> client.tag("pca", "best")
            [<TagRecord pca@best: pca@2.0.0>]
            >>> client.untag("pca", "best")
        """
        self._api.request("DELETE", routes.path(routes.TAG, op=OpName.parse(op), tag=TagName.parse(tag)), None)

    def tags(self, op: str | None = None, *, history: bool = False, as_of: When | None = None) -> list[TagRecord]:
        """Return the current tags, newest first.

        Args:
            op: only the tags of this op.
            history: return every move instead.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            list of TagRecord: a removed tag has no version.

        Raises:
            OpNotFound: the op does not exist.

        Examples:
            >>> client.tags("forest")
            []
        """
        parsed = None if op is None else OpName.parse(op)
        parameters = {"op": parsed, "history": "1" if history else None, "as_of": as_of}
        return [
            self._api.expect(tag, expected.is_tag(tag, parsed, history=history), f"the tags of {parsed or 'all ops'}")
            for page in self._api.pages(routes.TAGS, Tags, parameters)
            for tag in page.rows
        ]

    def edit(
        self,
        reference: str | Reference,
        *,
        message: str | None = None,
        labels: Mapping[str, str] | None = None,
        unlabel: Sequence[str] = (),
    ) -> VersionRecord:
        """Change the message and the labels of a version, in one entry of the journal.

        The bytes, the version number and the links stay as they are.

        Args:
            reference: the version.
            message: the new message; an empty one removes the message.
            labels: labels to set, by key.
            unlabel: the keys of labels to remove; one text is one key.

        Returns:
            VersionRecord: the version with its new message and labels.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: the reference selects no version.
            LabelNotFound: the version does not have a label that is to be removed.
            TooManyLabels: the version would have more labels than one can have.
            InvalidRequest: there is nothing to change, or a label is to be both set and removed.

        Examples:
            >>> client.edit("pca@1.0.0", message="without outliers", labels={"stage": "test"}).labels
            {'stage': 'test'}
            >>> client.edit("pca@1.0.0", message="", unlabel="stage").labels
            {}
        """
        parsed, wanted = Reference.parse(reference), dict(labels or {})
        path = routes.path(routes.VERSION, op=parsed.op, selector=selector_text(parsed.selector))
        body = ChangeVersion(message=message, labels=wanted, unlabel=tuple(unlabel))
        record = self._api.request("PATCH", path, VersionRecord, body=body)
        self._api.with_warning(self._api.check(record, parsed.op, parsed.selector))
        return self._api.expect(
            record, expected.is_edited(record, body), f"{parsed} with this message and these labels"
        )

    def ops(self, *, label: Sequence[str] = ()) -> list[OpRecord]:
        """Return all ops, by name.

        Args:
            label: only the ops with a version that has all these labels, each `KEY` or `KEY=VALUE`.

        Returns:
            list of OpRecord: each with its latest version, number of versions, compatibility level and description.

        Raises:
            InvalidLabel: a text of `label` is not a label.
            Unreachable: the daemon can't be reached.

        Examples:
            >>> [op.name for op in client.ops()]
            ['forest', 'pca']
        """
        parameters = {"label": list(map(LabelFilter.parse, label))}
        return [op for page in self._api.pages(routes.OPS, Ops, parameters) for op in page.rows]

    def op(self, name: str) -> OpRecord:
        """Return one op.

        Args:
            name: the name of the op.

        Returns:
            OpRecord: its latest version, number of versions and compatibility level.

        Raises:
            OpNotFound: the op does not exist.

        Examples:
            >>> client.op("pca").versions
            2
        """
        path = routes.path(routes.OP, op=OpName.parse(name))
        return self._check_op(self._api.request("GET", path, OpRecord), name)

    def set_op(self, op: str, *, compat: Compat | None = None, description: str | None = None) -> OpRecord:
        """Set the op's compatibility level or its description, or both.

        Args:
            op: the name of the op.
            compat: `exact`, `minor` or `major`: versions that share their number down to that level are compatible. It
                counts from the next position of the journal on.
            description: what the op is for; an empty text removes the description.

        Returns:
            OpRecord: the op with its level and description.

        Raises:
            OpNotFound: the op does not exist.
            InvalidRequest: there is nothing to set.

        Examples:
            >>> client.set_op("pca", compat="minor", description="50 components").description
            '50 components'
        """
        path = routes.path(routes.OP, op=OpName.parse(op))
        body = ChangeOp(compat=compat, description=description)
        record = self._check_op(self._api.request("PATCH", path, OpRecord, body=body), op)
        fits = compat in (None, record.compat) and description in (None, record.description or "")
        return self._api.expect(record, fits, f"the op {op} with this level and description")

    def _check_op(self, record: OpRecord, op: str) -> OpRecord:
        return self._api.expect(record, record.name == op, f"the op {op}")

    def details(self, reference: str | Reference, *, as_of: When | None = None) -> VersionDetails:
        """Return a version, where it is the latest, and its verdicts with the ops that it is connected with.

        Args:
            reference: the version.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            VersionDetails: the `version`, the references in `latest_of` that select it, and the verdicts `upstreams`
                and `downstreams`, with the latest versions of the other ops.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: the reference selects no version.

        Examples:
            >>> client.details("pca@1.0.0").latest_of
            ('pca@1', 'pca@1.0')
            >>> [edge.verdict for edge in client.details("pca@1.0.0").downstreams]
            ['valid']
        """
        parsed = Reference.parse(reference)
        path = routes.path(routes.DETAILS, op=parsed.op, selector=selector_text(parsed.selector))
        found = self._api.request("GET", path, VersionDetails, parameters={"as_of": as_of})
        fits = expected.are_details(found, parsed.op, parsed.selector)
        self._api.with_warning(self._api.expect(found, fits, f"the details of {parsed}").version)
        return found

    def log(self, name: str | None = None, *, limit: int | None = None) -> list[JournalEntry]:
        """Return the journal, newest first: what changed, when, and at which position.

        Args:
            name: only the entries about the op or the pipeline of that name.
            limit: the most entries to return.

        Returns:
            list of JournalEntry: each with its position, which `as_of` of other methods takes, and its action.

        Raises:
            OpNotFound: there never was an op or a pipeline of that name.

        Examples:
            >>> [entry.action for entry in client.log("pca", limit=1)]
            ['stored']
        """
        parsed = None if name is None else Name.parse(name)
        return [
            self._api.expect(entry, expected.is_entry(entry, parsed), f"the journal of {parsed or 'the store'}")
            for page in self._api.pages(routes.JOURNAL, Journal, {"name": parsed}, limit)
            for entry in page.rows
        ]

    def register_pipeline(
        self,
        name: str,
        ops: Sequence[str] = (),
        edges: Sequence[tuple[str, str]] | None = None,
        *,
        new_ops: Compat = EXACT,
    ) -> PipelineRecord:
        """Register a pipeline. It is idempotent: the record's `created` is False for the same graph.

        Args:
            name: the name of the pipeline.
            ops: the names of a chain of ops, in the order of the data; with `edges` all ops, of which those with edges
                may be missing.
            edges: pairs (upstream, downstream) of any acyclic graph, in place of a chain.
            new_ops: the compatibility level of ops that do not exist, which are created.

        Returns:
            PipelineRecord: the pipeline; `created_ops` are the ops that were created.

        Raises:
            InvalidGraph: the graph has a cycle, or too few ops.
            PipelineConflict: the name has another graph.

        Examples:
            >>> client.register_pipeline("scoring", ["scaler", "pca", "forest"]).ops
            ('scaler', 'pca', 'forest')
            >>> client.register_pipeline("ensemble", edges=[("pca", "forest"), ("pca", "svm")]).ops
            ('pca', 'forest', 'svm')
        """
        graph = None if edges is None else tuple((OpName.parse(up), OpName.parse(down)) for up, down in edges)
        pipeline = NewPipeline(
            name=PipelineName.parse(name), ops=tuple(map(OpName.parse, ops)), edges=graph, new_ops=new_ops
        )
        record = self._api.request("POST", routes.PIPELINES, PipelineRecord, body=pipeline)
        pairs = tuple(pairwise(pipeline.ops)) if graph is None else graph
        fits = expected.is_registered(record, pipeline.name, pipeline.ops, pairs)
        return self._api.expect(record, fits, f"the pipeline {name} with this graph")

    def pipelines(self) -> list[PipelineRecord]:
        """Return all pipelines, by name.

        Returns:
            list of PipelineRecord: each with its ops and edges.

        Raises:
            Unreachable: the daemon can't be reached.

        Examples:
            >>> [pipeline.name for pipeline in client.pipelines()]
            ['iris']
        """
        return [
            self._api.expect(pipeline, expected.is_pipeline(pipeline, pipeline.name), "all pipelines")
            for page in self._api.pages(routes.PIPELINES, Pipelines)
            for pipeline in page.rows
        ]

    def pipeline(self, name: str) -> PipelineRecord:
        """Return one pipeline.

        Args:
            name: the name of the pipeline.

        Returns:
            PipelineRecord: its ops in the order of the data, and its edges.

        Raises:
            PipelineNotFound: the pipeline does not exist.

        Examples:
            >>> client.pipeline("iris").edges
            (('pca', 'forest'),)
        """
        path = routes.path(routes.PIPELINE, pipeline=PipelineName.parse(name))
        record = self._api.request("GET", path, PipelineRecord)
        return self._api.expect(record, expected.is_pipeline(record, name), f"the pipeline {name}")

    def remove_pipeline(self, name: str) -> None:
        """Remove the pipeline; its ops, versions and links stay.

        Args:
            name: the name of the pipeline.

        Raises:
            PipelineNotFound: the pipeline does not exist.

        Examples:
            >>> client.remove_pipeline("iris")
        """
        self._api.request("DELETE", routes.path(routes.PIPELINE, pipeline=PipelineName.parse(name)), None)
