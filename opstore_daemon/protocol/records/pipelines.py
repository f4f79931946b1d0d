"""Pipelines."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records.base import EXACT, Compat, Cursor, NameText, Position, Record, Request, Time
from opstore_daemon.protocol.records.short_text import short_text


class PipelineRecord(Record, frozen=True, kw_only=True):
    """A pipeline: its ops in the order of the data, and its edges as (upstream, downstream).

    `created_ops` are the ops that the registration created.
    """

    name: NameText
    ops: tuple[NameText, ...]
    edges: tuple[tuple[NameText, NameText], ...]
    registered_at: Time
    position: Position
    created: bool = False
    created_ops: tuple[NameText, ...] = ()

    NOT_IN_TABLES = frozenset({"position"})

    def _summary(self) -> str:
        """Return its name and its edges, or its ops if it has no edge."""
        return ", ".join((self.name, short_text(self.edges or self.ops)))


class Pipelines(Record, frozen=True, kw_only=True):
    """A page of pipelines, by name."""

    pipelines: tuple[PipelineRecord, ...]
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[PipelineRecord, ...]:
        """The rows of the page."""
        return self.pipelines


class NewPipeline(Request, frozen=True, kw_only=True):
    """A new pipeline: if `edges` is None, `ops` are a chain; else every op is in `ops` or in an edge.

    `new_ops` is the compatibility level of the ops that it creates.
    """

    name: PipelineName
    ops: Annotated[tuple[OpName, ...], Meta(max_length=1000)] = ()
    edges: Annotated[tuple[tuple[OpName, OpName], ...], Meta(max_length=10000)] | None = None
    new_ops: Compat = EXACT
