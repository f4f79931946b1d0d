"""Ops, tags and pipelines."""

from collections.abc import Sequence

from opstore_cli.client.mixin import ApiMixin
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import (
    ChangeOp,
    Compat,
    NewPipeline,
    NewTag,
    OpRecord,
    Ops,
    PipelineRecord,
    Pipelines,
    Tagged,
    TagRecord,
    Tags,
)
from opstore_daemon.protocol.references import Reference, TagName


class CatalogMixin(ApiMixin):
    """Ops, tags and pipelines."""

    def tag(self, references: str | Sequence[str], tag: str) -> list[TagRecord]:
        versions = tuple(map(Reference.parse, (references,) if isinstance(references, str) else references))
        moved = self._api.request("POST", routes.TAGS, Tagged, body=NewTag(tag=TagName.parse(tag), versions=versions))
        return list(moved.tags)

    def untag(self, op: str, tag: str) -> None:
        self._api.request("DELETE", routes.path(routes.TAG, op=OpName.parse(op), tag=TagName.parse(tag)), None)

    def tags(self, op: str | None = None, *, history: bool = False, as_of: str | None = None) -> list[TagRecord]:
        asked = {"op": op if op is None else OpName.parse(op), "history": "1" if history else None, "as_of": as_of}
        return [tag for page in self._api.pages(routes.TAGS, Tags, asked) for tag in page.tags]

    def ops(self) -> list[OpRecord]:
        return [op for page in self._api.pages(routes.OPS, Ops) for op in page.ops]

    def op(self, name: str) -> OpRecord:
        return self._of_op(self._api.request("GET", routes.path(routes.OP, op=OpName.parse(name)), OpRecord), name)

    def set_compat(self, op: str, compat: Compat) -> OpRecord:
        path = routes.path(routes.OP, op=OpName.parse(op))
        return self._of_op(self._api.request("PATCH", path, OpRecord, body=ChangeOp(compat=compat)), op)

    def _of_op(self, record: OpRecord, op: str) -> OpRecord:
        if record.name != op:
            raise self._api.unexpected(f"the op {record.name[:130]}", f"the op {op}")
        return record

    def register_pipeline(
        self, name: str, ops: Sequence[str] = (), edges: Sequence[tuple[str, str]] | None = None
    ) -> PipelineRecord:
        graph = None if edges is None else tuple((OpName.parse(up), OpName.parse(down)) for up, down in edges)
        pipeline = NewPipeline(name=PipelineName.parse(name), ops=tuple(map(OpName.parse, ops)), edges=graph)
        return self._api.request("POST", routes.PIPELINES, PipelineRecord, body=pipeline)

    def pipelines(self) -> list[PipelineRecord]:
        return [pipeline for page in self._api.pages(routes.PIPELINES, Pipelines) for pipeline in page.pipelines]

    def pipeline(self, name: str) -> PipelineRecord:
        return self._api.request("GET", routes.path(routes.PIPELINE, pipeline=PipelineName.parse(name)), PipelineRecord)

    def remove_pipeline(self, name: str) -> None:
        self._api.request("DELETE", routes.path(routes.PIPELINE, pipeline=PipelineName.parse(name)), None)
