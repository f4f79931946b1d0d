"""Links: record and revoke that versions are valid together, and list what is recorded."""

from collections.abc import Callable

from opstore_cli.client.mixin import ApiMixin, parse_references
from opstore_cli.transport import expected
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import (
    Linked,
    LinkRecord,
    Links,
    LinkState,
    NewLink,
    Validation,
)
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import When

Notify = Callable[[Validation], None]


class LinksMixin(ApiMixin):
    """The verbs about links."""

    def link(
        self, upstream: str | Reference, downstream: str | Reference, *, valid: bool = True, evidence: str | None = None
    ) -> LinkRecord:
        """Record that the upstream version is valid for the downstream one; with `valid=False`, that it is not.

        Args:
            upstream: the upstream version: a reference, or a record that `pull`, `show` or `push` returned. A bare name
                is the latest version, which may have changed since you loaded it.
            downstream: the downstream version, in the same way. `NAME@any` is any version of the op.
            valid: False if the version is known not to be valid. A later link reverses an earlier one.
            evidence: a text or URL that supports it. Without it, a link that exists keeps its evidence.

        Returns:
            LinkRecord: the link in force, with the versions that it is between.

        Raises:
            OpNotFound: one of the ops does not exist.
            VersionNotFound: a reference selects no version.
            NoVersionYet: the downstream op has no version yet.

        Examples:
            >>> link = client.link("pca@2.0.0", "forest@1.0.0", evidence="run 17")
            >>> link.valid, link.evidence
            (True, 'run 17')
            >>> client.link("pca@2.0.0", "forest@any", valid=False).downstream_version is None
            True
        """
        return self._record_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str | Reference, downstream: str | Reference) -> LinkRecord:
        """Revoke the link in force between exactly these two, and return it.

        Args:
            upstream: the upstream version, as for `link`.
            downstream: the downstream version; `NAME@any` is the link to any version.

        Returns:
            LinkRecord: the link that was revoked.

        Raises:
            LinkNotFound: no such link is in force. The message lists the links between the two ops.

        Examples:
            >>> client.unlink("pca@1.0.0", "forest@1.0.0").state
            'valid'
        """
        return self._record_link(upstream, downstream, "revoked", None)

    def _record_link(
        self, upstream: str | Reference, downstream: str | Reference, state: LinkState, evidence: str | None
    ) -> LinkRecord:
        up, down = parse_references([upstream, downstream])
        link = NewLink(upstream=up, downstream=down, state=state, evidence=evidence)
        recorded = self._api.request("POST", routes.LINKS, Linked, body=link).link
        fits = expected.is_recorded(recorded, up, down, state, evidence)
        return self._api.expect(recorded, fits, f"the link from {up} to {down}")

    def links(
        self,
        op: str | None = None,
        *,
        upstream: str | None = None,
        downstream: str | None = None,
        history: bool = False,
        limit: int | None = None,
        as_of: When | None = None,
    ) -> list[LinkRecord]:
        """Return the links in force, newest first.

        Args:
            op: only links from or to this op.
            upstream: only links from this op.
            downstream: only links to this op.
            history: all entries of the journal, including revoked and replaced ones.
            limit: the most links to return.
            as_of: the state at that time: a position of the journal, a time as text, or a `datetime`.

        Returns:
            list of LinkRecord: `downstream_version` is None for a link to any version.

        Raises:
            OpNotFound: an op does not exist.

        Examples:
            >>> client.links(upstream="pca", downstream="forest")
            [<LinkRecord pca@1.0.0 -> forest@1.0.0: valid>]
        """
        given = {"op": op, "upstream": upstream, "downstream": downstream}
        ops = {key: None if name is None else OpName.parse(name) for key, name in given.items()}
        parameters = {**ops, "history": "1" if history else None, "as_of": as_of}
        found: list[LinkRecord] = []
        for page in self._api.pages(routes.LINKS, Links, parameters, limit):
            for link in page.rows:
                fits = expected.is_link(link, ops, history=history)
                found.append(self._api.expect(link, fits, f"the links of {op or upstream or downstream or 'all ops'}"))
        return found
