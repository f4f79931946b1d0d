"""Links, verdicts and resolutions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from opstore_cli.client import polling
from opstore_cli.client.mixin import ApiMixin, as_parameter, ignore, parse_references
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol.names import OpName, PipelineName, is_name
from opstore_daemon.protocol.records import (
    Affected,
    Check,
    Linked,
    LinkRecord,
    Links,
    LinkState,
    Lock,
    NewLink,
    Resolution,
    Validation,
)
from opstore_daemon.protocol.references import Reference

Notify = Callable[[Validation], None]


class ValidityMixin(ApiMixin):
    """Verbs for links, verdicts and resolutions.

    Names and references are strings or parsed; all raise InvalidName, and InvalidReference or InvalidVersion for a
    reference. `as_of`: the state at a position of the journal or at a time (RFC 3339).
    """

    def link(
        self, upstream: str | Reference, downstream: str | Reference, *, valid: bool = True, evidence: str | None = None
    ) -> LinkRecord:
        """Record that the upstream version is valid for the downstream one; with `valid=False`, that it is not.

        A downstream without a selector means any version of the op, which is created if it does not exist.
        `evidence`: a text or URL that supports it. Raises OpNotFound and VersionNotFound.
        """
        return self._record_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str | Reference, downstream: str | Reference) -> LinkRecord:
        """Revoke the link in force between exactly these two, and return it. Raises LinkNotFound."""
        return self._record_link(upstream, downstream, "revoked", None)

    def _record_link(
        self, upstream: str | Reference, downstream: str | Reference, state: LinkState, evidence: str | None
    ) -> LinkRecord:
        up, down = parse_references([upstream, downstream])
        link = NewLink(upstream=up, downstream=down, state=state, evidence=evidence)
        return self._api.request("POST", routes.LINKS, Linked, body=link).link

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
        """Return the links in force, newest first, at most `limit`.

        `op`: only links from or to this op; `upstream`, `downstream`: only links from, or to, this op. `history`: all
        entries, including revoked and replaced ones. Raises OpNotFound.
        """
        ops = {"op": op, "upstream": upstream, "downstream": downstream}
        parameters: dict[str, Any] = {key: None if name is None else OpName.parse(name) for key, name in ops.items()}
        parameters |= {"history": "1" if history else None, "as_of": as_of}
        return [link for page in self._api.pages(routes.LINKS, Links, parameters, limit) for link in page.links]

    def validate(
        self, upstream: str | Reference, downstream: str | Reference, *, as_of: str | None = None
    ) -> Validation:
        """Return the verdict for one edge. A reference without a selector means the latest version.

        Raises OpNotFound and VersionNotFound.
        """
        up, down = as_parameter([upstream, downstream])
        parameters = {"upstream": up, "downstream": down, "as_of": as_of}
        return self._api.request("GET", routes.VERDICT, Validation, parameters=parameters)

    def validate_pipeline(
        self, pipeline: str, *, use: Sequence[str | Reference] = (), as_of: str | None = None
    ) -> Validation:
        """Return the verdict over all edges between the latest versions of a pipeline's ops.

        `use`: versions that count as the latest of their ops. Raises PipelineNotFound, OpNotFound and VersionNotFound.
        """
        parameters = {"use": as_parameter(use), "as_of": as_of}
        path = routes.path(routes.PIPELINE_VERDICT, pipeline=PipelineName.parse(pipeline))
        return self._api.request("GET", path, Validation, parameters=parameters)

    def wait(
        self,
        *subject: str | Reference,
        seconds: float,
        use: Sequence[str | Reference] = (),
        notify: Notify | None = None,
    ) -> Validation:
        """Poll a verdict until it is valid or known to be invalid, or `seconds` are over, and return it.

        `subject` is one pipeline, or an upstream and a downstream version. Known to be invalid means that a link says
        so; a version that is merely not validated may become valid. `notify` is called with each new verdict. Polling
        continues while the daemon can't be reached; that error is raised at the end. Raises what `validate` and
        `validate_pipeline` raise.
        """
        path, edge = _verdict_request(subject)
        parameters = {**edge, "use": as_parameter(use)}

        def fetch(etag: str | None) -> tuple[Validation | None, str]:
            return self._api.get_if_changed(path, Validation, parameters, etag)

        return polling.until_known(fetch, seconds, notify or ignore)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str | Reference] = (),
        lock: Sequence[str | Reference] = (),
        upgrade: str | None = None,
        as_of: str | None = None,
        timeout: float | None = None,
    ) -> Resolution:
        """Return the newest versions of a pipeline's ops that are valid together, or why there are none.

        `use`: versions that count as the latest of their ops. `lock`: the locked versions; then `upgrade` names the op
        that gets its newest possible version, and the others only move if they must. `timeout`: seconds, in addition
        to the daemon's own limit; a fraction is rounded up. Raises PipelineNotFound, OpNotFound, VersionNotFound, and
        ResolutionTooHard if a limit is reached.
        """
        path = routes.path(routes.RESOLUTION, pipeline=PipelineName.parse(pipeline))
        parameters = {
            "use": as_parameter(use),
            "lock": as_parameter(lock),
            "upgrade": upgrade,
            "as_of": as_of,
            "timeout": None if timeout is None else math.ceil(timeout),
        }
        resolution = self._api.request("GET", path, Resolution, parameters=parameters)
        ops = [version.op for version in resolution.versions]
        if not all(is_name(op) for op in ops) or len(ops) > len(set(ops)):
            raise self._api.unexpected(f"the ops {ops!r:.200}", f"the resolution of {pipeline}")
        for version in resolution.versions:
            self._api.check(version, version.op)
        return resolution

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        """Return whether a lock still holds: the same edges, no version yanked or removed, and every edge valid.

        Raises PipelineNotFound.
        """
        path = routes.path(routes.CHECK, pipeline=PipelineName.parse(pipeline))
        return self._api.request("POST", path, Check, body=lock)

    def affected(
        self, reference: str | Reference, *, pipeline: str | None = None, as_of: str | None = None
    ) -> Affected:
        """Return the downstream ops, direct and indirect, for which a version is not valid: what to retrain.

        `pipeline`: only within this pipeline. Raises OpNotFound, VersionNotFound and PipelineNotFound.
        """
        (text,) = as_parameter([reference])
        parameters = {"reference": text, "pipeline": pipeline, "as_of": as_of}
        return self._api.request("GET", routes.AFFECTED, Affected, parameters=parameters)


def _verdict_request(subject: Sequence[str | Reference]) -> tuple[str, dict[str, Any]]:
    """Return the path and the parameters of a verdict; raises InvalidRequest for another number of arguments."""
    match subject:
        case [pipeline]:
            return routes.path(routes.PIPELINE_VERDICT, pipeline=PipelineName.parse(pipeline)), {}
        case [upstream, downstream]:
            up, down = as_parameter([upstream, downstream])
            return routes.VERDICT, {"upstream": up, "downstream": down}
    raise errors.InvalidRequest(reason="wait() takes one pipeline, or one upstream and one downstream version")
