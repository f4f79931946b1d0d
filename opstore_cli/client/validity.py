"""Links and verdicts."""

from collections.abc import Callable, Sequence

from opstore_cli.client import polling
from opstore_cli.client.mixin import ApiMixin, ignore
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
from opstore_daemon.protocol.references import Reference, check_references

Notify = Callable[[Validation], None]


class ValidityMixin(ApiMixin):
    """Links, verdicts and resolutions."""

    def link(self, upstream: str, downstream: str, *, valid: bool = True, evidence: str | None = None) -> LinkRecord:
        return self._enter_link(upstream, downstream, "valid" if valid else "invalid", evidence)

    def unlink(self, upstream: str, downstream: str) -> LinkRecord:
        return self._enter_link(upstream, downstream, "revoked", None)

    def _enter_link(self, upstream: str, downstream: str, state: LinkState, evidence: str | None) -> LinkRecord:
        up, down = Reference.parse(upstream), Reference.parse(downstream)
        entry = NewLink(upstream=up, downstream=down, state=state, evidence=evidence)
        return self._api.request("POST", routes.LINKS, Linked, body=entry).link

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
                OpName.parse(name)
        pages = self._api.pages(
            routes.LINKS, Links, {**asked, "history": "1" if history else None, "as_of": as_of}, limit
        )
        return [link for page in pages for link in page.links]

    def validate(self, upstream: str, downstream: str, *, as_of: str | None = None) -> Validation:
        check_references([upstream, downstream])
        parameters = {"upstream": upstream, "downstream": downstream, "as_of": as_of}
        return self._api.request("GET", routes.VERDICT, Validation, parameters=parameters)

    def validate_pipeline(self, pipeline: str, *, use: Sequence[str] = (), as_of: str | None = None) -> Validation:
        check_references(use)
        path = routes.path(routes.PIPELINE_VERDICT, pipeline=PipelineName.parse(pipeline))
        return self._api.request("GET", path, Validation, parameters={"use": list(use), "as_of": as_of})

    def wait(self, *asked: str, seconds: float, use: Sequence[str] = (), notify: Notify | None = None) -> Validation:
        """The verdict over a pipeline, or for an upstream and a downstream version, asked again until it is valid or
        known to be invalid, or the time is over.

        Known to be invalid is what an entry says; what is merely not validated may be so yet. `notify` is called with
        each verdict that is waited on. A daemon that is away for a while is asked again, too.
        """
        if len(asked) not in (1, 2):
            raise errors.InvalidRequest(reason="one pipeline is waited for, or one upstream and one downstream version")
        check_references(asked, use)
        path, parameters = routes.VERDICT, dict(zip(("upstream", "downstream"), asked, strict=False))
        if len(asked) == 1:
            path, parameters = routes.path(routes.PIPELINE_VERDICT, pipeline=PipelineName.parse(asked[0])), {}

        def ask(etag: str | None) -> tuple[Validation | None, str]:
            return self._api.get_if_changed(path, Validation, {**parameters, "use": list(use)}, etag)

        return polling.until_known(ask, seconds, notify or ignore)

    def resolve(
        self,
        pipeline: str,
        *,
        use: Sequence[str] = (),
        lock: Sequence[str] = (),
        upgrade: str | None = None,
        as_of: str | None = None,
    ) -> Resolution:
        check_references(use, lock)
        path = routes.path(routes.RESOLUTION, pipeline=PipelineName.parse(pipeline))
        asked = {"use": list(use), "lock": list(lock), "upgrade": upgrade, "as_of": as_of}
        resolution = self._api.request("GET", path, Resolution, parameters=asked)
        ops = [version.op for version in resolution.versions]
        if not all(is_name(op) for op in ops) or len(ops) > len(set(ops)):
            raise self._api.unexpected(f"the ops {ops!r:.200}", f"the resolution of {pipeline}")
        for version in resolution.versions:
            self._api.check(version, version.op)
        return resolution

    def check_lock(self, pipeline: str, lock: Lock) -> Check:
        return self._api.request(
            "POST", routes.path(routes.CHECK, pipeline=PipelineName.parse(pipeline)), Check, body=lock
        )

    def affected(self, reference: str, *, pipeline: str | None = None, as_of: str | None = None) -> Affected:
        check_references([reference])
        asked = {"reference": reference, "pipeline": pipeline, "as_of": as_of}
        return self._api.request("GET", routes.AFFECTED, Affected, parameters=asked)
