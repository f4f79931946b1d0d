"""A version and what surrounds it."""

from typing import Annotated

from msgspec import Meta

from opstore_daemon.protocol.records.base import Description, Record
from opstore_daemon.protocol.records.html_tables import heading, table
from opstore_daemon.protocol.records.runs import RunRecord
from opstore_daemon.protocol.records.short_text import counted, short_text
from opstore_daemon.protocol.records.verdicts import EdgeVerdict
from opstore_daemon.protocol.records.versions import VersionRecord

ReferenceText = Annotated[str, Meta(max_length=200)]


class VersionDetails(Record, frozen=True, kw_only=True):
    """A version, and where it stands.

    `latest_of`: the references without a version number that select it: the op, its major line, its minor line.
    `upstreams` and `downstreams`: its verdicts with the latest versions of the ops that links or pipelines connect it
    with, at most 100 of each; `has_more` says whether there are more. `runs` are the newest ones with it, at most 5.
    `description` is that of the op.
    """

    version: VersionRecord
    latest_of: tuple[ReferenceText, ...]
    upstreams: tuple[EdgeVerdict, ...]
    downstreams: tuple[EdgeVerdict, ...]
    has_more: bool = False
    runs: tuple[RunRecord, ...] = ()
    description: Description | None = None

    def _summary(self) -> str:
        """Return the version, where it is the latest, and its verdicts by number."""
        words = [self.version._summary()]
        if self.latest_of:
            words.append(f"latest of {' '.join(self.latest_of)}")
        for edges, name in ((self.upstreams, "upstreams"), (self.downstreams, "downstreams")):
            if edges:
                words.append(f"{counted(len(edges), name)} ({short_text([edge.verdict for edge in edges])})")
        if self.runs:
            words.append(f"newest run {self.runs[0].position} {self.runs[0].result}")
        return ", ".join(words)

    def _repr_html_(self) -> str:
        """Return the version, and a table of its verdicts with its upstreams and downstreams."""
        parts = [self.version._repr_html_(), heading(f"latest of: {', '.join(self.latest_of) or 'nothing'}")]
        for edges, name in ((self.upstreams, "upstreams"), (self.downstreams, "downstreams")):
            if edges:
                parts += [heading(name), table(edges)]
        if self.runs:
            parts += [heading("runs"), table(self.runs)]
        return "".join(parts)
