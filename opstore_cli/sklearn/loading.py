"""Load a pipeline: choose its versions, load each, and put them together."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.client import arguments, locks
from opstore_cli.objects import LibraryWarning, environment
from opstore_cli.output.escaping import escape_controls
from opstore_cli.output.user_warnings import warn_caller
from opstore_cli.sklearn import SkippedVersionsWarning, assembling, estimators, structure
from opstore_cli.sklearn.client_argument import check_client
from opstore_cli.sklearn.naming import Names
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Lock, Resolution, Validation, VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.times import When

if TYPE_CHECKING:
    from opstore_cli.client.base import BaseOpStoreClient

Trusted = Sequence[str | type]


def load(
    client: "BaseOpStoreClient",
    name: str,
    lock: Lock | Path | str | None,
    as_of: When | None,
    *,
    use: Sequence[str | Reference],
    latest: bool,
    allow_pickle: bool | None,
    trusted: Sequence[str | type] | None,
) -> Any:
    """Load a pipeline: see `opstore_cli.sklearn.load_pipeline`."""
    check_client(client)
    pipeline = PipelineName.parse(arguments.text("name", name))
    used = arguments.references("use", use or ())
    types = assembling.with_harmless(trusted)
    latest = arguments.flag("latest", latest)
    allow_pickle = None if allow_pickle is None else arguments.flag("allow_pickle", allow_pickle)
    estimators.library("sklearn.pipeline")
    given = {"lock": lock is not None, "as_of": as_of is not None, "use": bool(used), "latest": latest}
    _check_together([word for word, is_given in given.items() if is_given])
    if lock is not None:
        versions = _locked(client, pipeline, arguments.lock("lock", lock))
    elif latest:
        versions = _latest(client, pipeline, as_of)
    else:
        versions = _resolved(client, pipeline, used, as_of)
    return _load(client, pipeline, versions, allow_pickle, types)


def _check_together(given: list[str]) -> None:
    if len(given) > 1 and given not in (["as_of", "use"], ["as_of", "latest"]):
        raise errors.InvalidRequest(reason=f"{' and '.join(given)} are mutually exclusive")


def _locked(client: "BaseOpStoreClient", pipeline: PipelineName, lock: Lock | Path) -> list[VersionRecord]:
    pinned, _ = locks.load(lock)
    check = client.check_lock(pipeline, pinned)
    if not check:
        path = str(lock) if isinstance(lock, Path) else "the lock"
        stale = errors.LockStale(path=path, pipeline=pipeline, findings=list(check.findings))
        of = "" if isinstance(lock, Lock) else f" {lock}"
        raise stale.with_text(f"the lock{of} no longer holds: {'; '.join(check.findings)}")
    return locks.records(pinned, client.show)


def _resolved(
    client: "BaseOpStoreClient", pipeline: PipelineName, use: Sequence[str], as_of: When | None
) -> list[VersionRecord]:
    found = client.resolve(pipeline, use=use, as_of=as_of)
    _check_used(client, found, use, as_of)
    if found.skipped:
        warn_caller(SkippedVersionsWarning(pipeline, found.skipped))
    return list(found.versions)


def _check_used(client: "BaseOpStoreClient", found: Resolution, use: Sequence[str], as_of: When | None) -> None:
    """Raise NoSet if a version of `use` was skipped: a resolution goes back from it as it does from the latest one."""
    skipped = {str(client.show(reference, as_of=as_of)) for reference in use} - set(map(str, found.versions))
    if skipped:
        reasons = [f"{each.op}@{each.version}: {each.reason}" for each in found.skipped]
        reasons = [reason for reason in reasons if reason.partition(": ")[0] in skipped]
        named = "; ".join(reasons or sorted(skipped))
        error = errors.NoSet(pipeline=found.pipeline)
        error.resolution = found
        raise error.with_text(f"no set of versions of {found.pipeline} is valid with {named}")


def _latest(client: "BaseOpStoreClient", pipeline: PipelineName, as_of: When | None) -> list[VersionRecord]:
    found = client.validate_pipeline(pipeline, as_of=as_of)
    if not found:
        raise _refused(pipeline, found)
    # The numbers, not `latest`: a version may be stored meanwhile.
    return [client.show(str(version)) for version in found.versions]


def _refused(pipeline: PipelineName, found: Validation) -> errors.NoResolution:
    kind = errors.NoSetKnown if found.verdict == "unknown" else errors.NoSet
    reasons = [f"{edge.upstream} -> {edge.downstream}: {edge.reason}" for edge in found.edges if not edge.verdict]
    error = kind(pipeline=pipeline)
    return error.with_text(f"the latest versions of {pipeline} are not valid together: {'; '.join(reasons)}")


def _load(
    client: "BaseOpStoreClient",
    pipeline: PipelineName,
    versions: Sequence[VersionRecord],
    allow_pickle: bool | None,
    trusted: Trusted,
) -> Any:
    structural = _structure(pipeline, versions)
    stored = [version for version in versions if version.digest is not None]
    differ = _warn_about_libraries(pipeline, stored)
    objects: dict[str, Any] = {}
    untrusted: dict[str, list[str]] = {}
    with _without_more_warnings() if differ else nullcontext():
        for version in stored:
            try:
                objects[version.op] = client._load_version(version, allow_pickle, trusted)
            except errors.UntrustedTypes as error:
                untrusted[version.op] = str(error.details["types"]).split(", ")
    if untrusted:
        raise assembling.untrusted(untrusted, pipeline)
    document = objects.pop(structural.op)
    try:
        return structure.put_together(document, objects)
    except Exception as error:
        reason = escape_controls(f"it is no structure of a pipeline: {errors.reason(error)}")
        there = {"op": structural.op, "version": structural.version, "format": structural.format or "bytes"}
        raise errors.NotLoaded(**there, reason=reason) from error


@contextmanager
def _without_more_warnings() -> Iterator[None]:
    """Ignore what scikit-learn would say again for each of its objects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estimators.library("sklearn.exceptions").InconsistentVersionWarning)
        yield


def _structure(pipeline: PipelineName, versions: Sequence[VersionRecord]) -> VersionRecord:
    op = Names(pipeline).structure
    for version in versions:
        if version.op == op and version.digest is not None:
            return version
    raise errors.PipelineNotSaved(pipeline=pipeline, op=op)


def _warn_about_libraries(pipeline: PipelineName, versions: Sequence[VersionRecord]) -> bool:
    """Issue one warning for all versions whose libraries differ from the installed ones; return whether any does."""
    here = environment.installed()
    found = {each for version in versions for each in environment.compare(here, version.format, version.libraries)}
    if found:
        worst_first = sorted(found, key=lambda each: (environment.SEVERITIES.index(each.severity), each[:2]))
        warn_caller(LibraryWarning(pipeline, tuple(worst_first)))
    return bool(found)
