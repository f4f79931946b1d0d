"""Save a pipeline: check it, write all its parts, then store them, each with the links to what it was fitted with."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.client import arguments
from opstore_cli.objects import formats
from opstore_cli.objects.format import Format, type_name
from opstore_cli.output.escaping import escape_controls
from opstore_cli.output.user_warnings import warn_caller
from opstore_cli.sklearn import estimators, structure
from opstore_cli.sklearn.client_argument import check_client
from opstore_cli.sklearn.dumps import Dump, Dumps
from opstore_cli.sklearn.graph import Graph, Step
from opstore_cli.sklearn.naming import step_name
from opstore_cli.sklearn.records import SavedPipeline
from opstore_daemon.protocol import errors, limits
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import Fields, Pushed, VersionRecord

if TYPE_CHECKING:
    from opstore_cli.client.base import BaseOpStoreClient

FORMATS = ("skops", "joblib", "cloudpickle", "pickle")


def save(client: "BaseOpStoreClient", name: str, fitted: Any, format_name: str) -> SavedPipeline:
    """Save a pipeline: see `opstore_cli.sklearn.save_pipeline`."""
    check_client(client)
    pipeline = PipelineName.parse(arguments.text("name", name))
    chosen = _format(arguments.text("format", format_name))
    _check_is_pipeline(fitted)
    chosen.require()
    with _folder() as folder:
        dumps = Dumps(chosen, folder)
        taken = structure.Taken(pipeline, fitted, lambda one, other: dumps.digest(one) == dumps.digest(other))
        _check_is_fitted(taken.graph)
        _check_graph(client, pipeline, taken.graph)
        parts = _write(client, dumps, taken)
        _warn_about_main(pipeline, taken.graph, chosen)
        return _store(client, pipeline, taken.graph, parts, chosen)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise errors.UnknownFormat(format=name, formats=", ".join(FORMATS))
    return formats.by_name(name)


def _check_is_pipeline(fitted: Any) -> None:
    if estimators.is_pipeline(fitted):
        if fitted.steps:
            return
        raise errors.EstimatorRefused(what="the pipeline", reason="it has no steps", advice="")
    kind = type_name(type(fitted))
    if isinstance(fitted, estimators.library("sklearn.pipeline").Pipeline):
        reason = "it is a subclass of sklearn.pipeline.Pipeline, and what it adds could be lost"
        advice = "save sklearn.pipeline.Pipeline(fitted.steps), or the whole: client.save(op, fitted, format='skops')"
    elif hasattr(fitted, "get_params") and not isinstance(fitted, type):
        reason = "it is no sklearn.pipeline.Pipeline"
        advice = _advice_for_estimator(fitted)
    else:
        expected = "a fitted sklearn.pipeline.Pipeline"
        advice = "client.save(op, obj) saves other objects"
        raise errors.InvalidArgument(argument="fitted", expected=expected, actual=f"a {kind}", advice=advice)
    raise errors.EstimatorRefused(what=f"a {kind}", reason=reason, advice=advice)


def _advice_for_estimator(fitted: Any) -> str:
    if estimators.is_columns(fitted) or estimators.is_union(fitted):
        return "save_pipeline(client, name, sklearn.pipeline.make_pipeline(fitted)) saves its branches as ops"
    if estimators.is_pipeline(getattr(fitted, "best_estimator_", None)):
        return "save_pipeline(client, name, fitted.best_estimator_) saves the best pipeline of the search"
    return "client.save(op, fitted, format='skops') saves one estimator as an op"


def _check_is_fitted(graph: Graph) -> None:
    for step in graph.steps:
        if not step.stateless and not estimators.is_fitted(step.estimator):
            raise structure.not_fitted(step.path)


def _check_graph(client: "BaseOpStoreClient", pipeline: PipelineName, graph: Graph) -> None:
    """Raise PipelineConflict if the pipeline has another graph, before anything is stored, and EstimatorRefused."""
    size = len(json.dumps({"name": pipeline, "ops": graph.ops, "edges": graph.edges}))
    if size > limits.MAX_JSON - 1024:
        reason = f"its graph has {size:,} bytes, more than a request may have"
        advice = "shorten the names of its steps, or save parts of it as pipelines of their own"
        raise errors.EstimatorRefused(what="the pipeline", reason=reason, advice=advice)
    try:
        registered = client.pipeline(pipeline)
    except errors.PipelineNotFound:
        return
    if set(registered.ops) != set(graph.ops) or set(registered.edges) != set(graph.edges):
        raise errors.PipelineConflict(pipeline=pipeline)


@contextmanager
def _folder() -> Iterator[Path]:
    with errors.translated(OSError, to=errors.OutputFailed, path=tempfile.gettempdir()):
        folder = tempfile.TemporaryDirectory(prefix="opstore-")
    with folder as path:
        yield Path(path)


def _warn_about_main(pipeline: PipelineName, graph: Graph, chosen: Format) -> None:
    """Warn about classes and functions of a notebook or a script, whose code only cloudpickle stores."""
    if chosen.name == "cloudpickle":
        return
    found = {}
    for step in graph.steps:
        for obj in (type(step.estimator), getattr(step.estimator, "func", None)):
            if getattr(obj, "__module__", None) == "__main__":
                found[step_name(step.path)] = getattr(obj, "__qualname__", repr(obj))
    if found:
        named = ", ".join(f"{name} ({kind})" for name, kind in found.items())
        text = f"only a program that defines them itself can load these steps of {pipeline}: {named}"
        advice = "define them in a module, or pass format='cloudpickle'"
        warn_caller(UserWarning(escape_controls(f"{text}; {advice}")))


Parts = dict[OpName, Dump | Fields]  # what each op stores: the bytes in a file, or only what it declares


def _write(client: "BaseOpStoreClient", dumps: Dumps, taken: structure.Taken) -> Parts:
    """Write what each op stores. Raises EstimatorRefused and OpInUse."""
    parts: Parts = {}
    for step in taken.graph.steps:
        latest = _latest(client, step.op)
        # `latest` selects versions without bytes only if the op has none with bytes.
        if step.stateless and (latest is None or latest.digest is None):
            parts[step.op] = _declared(dumps, step)
        else:
            parts[step.op] = _written(dumps, f"the step {step_name(step.path)!r}", step.estimator, latest)
    # The last one, since it has the steps without state: an error names the step.
    op = taken.graph.structure
    parts[op] = _written_structure(dumps, taken, _latest(client, op))
    return parts


def _written_structure(dumps: Dumps, taken: structure.Taken, latest: VersionRecord | None) -> Dump:
    try:
        return _written(dumps, "the structure of the pipeline", taken.document, latest)
    except errors.EstimatorRefused:
        for path, hollow in taken.joins.items():  # the error of one of them says where it is
            _written(dumps, f"the step {step_name(path)!r}", hollow, None)
        raise


def _latest(client: "BaseOpStoreClient", op: OpName) -> VersionRecord | None:
    """Return the latest version of an op, if there is one. Raises OpInUse if it is something else than an estimator."""
    try:
        latest = client.show(op)
    except (errors.OpNotFound, errors.VersionNotFound):
        return None
    if latest.digest is not None and latest.format not in FORMATS:
        raise errors.OpInUse(op=op, version=latest.version, format=latest.format or "plain bytes")
    return latest


def _written(dumps: Dumps, what: str, obj: Any, latest: VersionRecord | None) -> Dump:
    dump = dumps.write(what, obj)
    if latest is None or latest.digest != dump.digest:
        dumps.check(what, obj, dump)
    return dump


def _declared(dumps: Dumps, step: Step) -> Fields:
    """Return the fields of a step without state: its type and its parameters."""
    if estimators.is_passed(step.estimator):
        return {"major": {"type": "passthrough"}}
    dump = _written(dumps, f"the step {step_name(step.path)!r}", estimators.clone(step.estimator), None)
    return {"major": {"type": type_name(type(step.estimator))}, "minor": {"parameters": dump.digest}}


def _store(
    client: "BaseOpStoreClient", pipeline: PipelineName, graph: Graph, parts: Parts, chosen: Format
) -> SavedPipeline:
    """Store the versions in the order of the data, each with its links, and register the pipeline last."""
    stored: dict[OpName, Pushed] = {}
    for op in graph.ops:
        upstreams = [str(stored[upstream]) for upstream in graph.upstreams(op)]
        part = parts[op]
        if isinstance(part, Dump):
            stored[op] = _push(client, op, part, upstreams, chosen)
        else:
            stored[op] = _register(client, op, part, upstreams)
    registered = client.register_pipeline(pipeline, graph.ops, edges=graph.edges)
    versions = tuple(stored.values())
    kept = tuple(link for version in versions for link in version.links if not link.valid)
    if kept:
        named = "; ".join(map(str, kept))
        warn_caller(UserWarning(f"these links stay as they are, so {pipeline} is not valid as it was saved: {named}"))
    steps = {step_name(step.path): str(step.op) for step in graph.steps}
    return SavedPipeline(pipeline=pipeline, versions=versions, edges=registered.edges, steps=steps, kept_invalid=kept)


def _register(client: "BaseOpStoreClient", op: OpName, fields: Fields, upstreams: list[str]) -> Pushed:
    """Register a step without state, as the latest version of its op: parameters may return to what they were."""
    registered = client.register(op, fields=fields, valid_with=upstreams)
    latest = registered if registered.created else client.show(op)
    if latest.version == registered.version:
        return registered
    if latest.version.split(".")[:2] == registered.version.split(".")[:2]:  # the same type and parameters
        return client.register(op, subversions=latest.subversions, valid_with=upstreams)
    return client.register(op, fields={**fields, "patch": {"after": latest.version}}, valid_with=upstreams)


def _push(client: "BaseOpStoreClient", op: OpName, dump: Dump, upstreams: list[str], chosen: Format) -> Pushed:
    def push(new: bool) -> Pushed:
        with dump.path.open("rb") as file:
            return client.push(op, file, valid_with=upstreams, format=chosen.name, libraries=dump.libraries, new=new)

    pushed = push(False)
    return pushed if pushed.format == chosen.name else push(True)
