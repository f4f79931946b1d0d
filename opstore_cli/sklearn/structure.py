"""The structure of a pipeline: everything but its fitted steps, which are taken out of it and put back into it.

It is a document with the pipeline itself, as scikit-learn's own objects with all their parameters and attributes. Each
fitted step is replaced by the name of its op. A column transformer also keeps its unfitted transformers; those that are
a clone of the fitted one are replaced by CLONE, so that a changed parameter of a step does not change the structure.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from opstore_cli.sklearn import estimators
from opstore_cli.sklearn.graph import Flow, Graph, Step
from opstore_cli.sklearn.naming import Names, Path, step_name
from opstore_cli.sklearn.selections import packed, unpacked
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName

FORMAT = 1
CLONE = "clone"  # an unfitted transformer that is a clone of the fitted one
MAX_DEPTH = 50  # of pipelines within pipelines
MAX_PLACES = 10_000  # of steps, also of those that are no ops; a file may have one object in many places

Equal = Callable[[Any, Any], bool]


class Taken:
    """A pipeline, taken apart: the `graph` of its steps, and the `document` of its structure.

    `joins` has the column transformers and unions by their paths, the inner ones first, without their fitted steps.
    `equal` returns whether two unfitted objects are the same. Raises InvalidName and EstimatorRefused.
    """

    def __init__(self, name: PipelineName, pipeline: Any, equal: Equal) -> None:
        self._names = Names(name)
        self._equal = equal
        self.graph = Graph(self._names.structure)
        self.joins: dict[Path, Any] = {}
        hollow, _ = self._take(pipeline, (), Flow())
        ops = {step_name(step.path): str(step.op) for step in self.graph.steps}
        self.document = {"format": FORMAT, "ops": ops, "pipeline": hollow}

    def _take(self, estimator: Any, path: Path, inputs: Flow) -> tuple[Any, Flow]:
        """Return what stays in the structure in place of a step, and what its output depends on."""
        if len(path) > MAX_DEPTH:
            reason = f"it has pipelines within pipelines, more than {MAX_DEPTH} deep"
            raise errors.EstimatorRefused(what="the pipeline", reason=reason, advice="")
        if estimators.is_pipeline(estimator):
            return self._take_pipeline(estimator, path, inputs)
        if estimators.is_union(estimator):
            return self._take_union(estimator, path, inputs)
        if estimators.is_columns(estimator):
            return self._take_columns(estimator, path, inputs)
        step = Step(path, self._names.op_of(path), estimator, estimators.is_stateless(estimator))
        return (estimator if step.stateless else str(step.op)), self.graph.add(step, inputs)

    def _take_pipeline(self, pipeline: Any, path: Path, flow: Flow) -> tuple[Any, Flow]:
        hollow, steps = estimators.copied_without_init(pipeline), []
        for name, estimator in pipeline.steps:
            kept, flow = self._take(estimator, (*path, name), flow)
            steps.append((name, kept))
        hollow.steps = type(pipeline.steps)(steps)  # a list or a tuple
        _check_features(pipeline.steps, path)
        return hollow, flow

    def _take_union(self, union: Any, path: Path, inputs: Flow) -> tuple[Any, Flow]:
        hollow, outputs = estimators.copied_without_init(union), []
        hollow.transformer_list = []
        for name, transformer in union.transformer_list:
            kept = transformer
            if not estimators.is_dropped(transformer):
                kept, output = self._take(transformer, (*path, name), inputs)
                outputs.append(output)
            hollow.transformer_list.append((name, kept))
        self.joins[path] = hollow
        return hollow, self.graph.join(outputs)

    def _take_columns(self, columns: Any, path: Path, inputs: Flow) -> tuple[Any, Flow]:
        hollow, outputs, fitted = estimators.copied_without_init(columns), [], {}
        hollow.transformers_ = []
        for name, transformer, selected in _fitted(columns, path):
            kept = transformer
            if not estimators.is_dropped(transformer) and _has_any(columns, name):
                kept, output = self._take(transformer, (*path, name), inputs)
                outputs.append(output)
                fitted[name] = transformer
            hollow.transformers_.append((name, kept, packed(selected)))
        hollow.transformers = [
            (name, self._unfitted(original, fitted.get(name)), packed(selected))
            for name, original, selected in columns.transformers
        ]
        hollow.remainder = self._unfitted(columns.remainder, fitted.get("remainder"))
        name, _, selected = columns._remainder
        hollow._remainder = (name, hollow.remainder, packed(selected))
        hollow._columns = list(map(packed, columns._columns))
        self.joins[path] = hollow
        return hollow, self.graph.join(outputs)

    def _unfitted(self, original: Any, fitted: Any) -> Any:
        if isinstance(original, str) or fitted is None:
            return original
        try:
            is_clone = self._equal(estimators.clone(fitted), original)
        except Exception:  # noqa: BLE001 - the classes of users raise anything; then it is kept as it is
            is_clone = False
        return CLONE if is_clone else original


def _fitted(columns: Any, path: Path) -> Sequence[tuple[str, Any, Any]]:
    if not hasattr(columns, "transformers_"):
        raise not_fitted(path)
    found: Sequence[tuple[str, Any, Any]] = columns.transformers_
    return found


def _has_any(columns: Any, name: str) -> bool:
    """Return whether a transformer got any column. Without one, it was not fitted."""
    return len(columns._transformer_to_input_indices.get(name, ())) > 0


def _check_features(steps: Sequence[tuple[str, Any]], path: Path) -> None:
    """Raise EstimatorRefused if a step takes another number of features than the step before it gives."""
    for (before, upstream), (name, downstream) in pairwise(steps):
        given, taken = estimators.features_out(upstream), estimators.features_in(downstream)
        if None not in (given, taken) and given != taken:
            reason = f"it was fitted on {taken} features, and {step_name((*path, before))!r} before it gives {given}"
            what, advice = f"the step {step_name((*path, name))!r}", "fit the steps together: fit() of the pipeline"
            raise errors.EstimatorRefused(what=what, reason=reason, advice=advice)


def not_fitted(path: Path) -> errors.EstimatorRefused:
    """Return the error for a step that is not fitted."""
    what = f"the step {step_name(path)!r}"
    return errors.EstimatorRefused(what=what, reason="it is not fitted", advice="call fit() of the pipeline first")


class Damaged(ValueError):
    """A document is no structure of a pipeline. The message says why."""


def put_together(document: Any, objects: Mapping[str, Any]) -> Any:
    """Return the pipeline of a document of `Taken`, with the objects by op in their places. Raises Damaged.

    A step without state stays what it is in the document, unless there is an object for its op.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT or not isinstance(document.get("ops"), dict):
        raise Damaged(f"it is no structure of a pipeline of the format {FORMAT}")
    root = document.get("pipeline")
    if not estimators.is_pipeline(root):
        raise Damaged("it has no pipeline")
    _Putting(document["ops"], objects).put(root, ())
    return root


class _Putting:
    """Puts objects into their places in a structure."""

    def __init__(self, ops: Mapping[str, str], objects: Mapping[str, Any]) -> None:
        self._ops, self._objects = ops, objects
        self._count = 0

    def put(self, kept: Any, path: Path) -> Any:
        """Return the step for what a structure has in its place."""
        self._count += 1
        if len(path) > MAX_DEPTH or self._count > MAX_PLACES:
            raise Damaged(f"it is nested more than {MAX_DEPTH} levels deep, or has more than {MAX_PLACES} places")
        if estimators.is_pipeline(kept):
            kept.steps = type(kept.steps)([(name, self.put(each, (*path, name))) for name, each in kept.steps])
            return kept
        if estimators.is_union(kept):
            kept.transformer_list = [(name, self.put(each, (*path, name))) for name, each in kept.transformer_list]
            return kept
        if estimators.is_columns(kept):
            return self._put_columns(kept, path)
        op = self._ops.get(step_name(path))
        if op is not None and op in self._objects:
            return self._objects[op]
        if isinstance(kept, str) and kept == op:
            raise Damaged(f"its step {step_name(path)!r} is the op {op}, which the pipeline does not have")
        return kept

    def _put_columns(self, columns: Any, path: Path) -> Any:
        columns.transformers_ = [
            (name, self.put(each, (*path, name)), unpacked(selected)) for name, each, selected in columns.transformers_
        ]
        fitted = {name: each for name, each, _ in columns.transformers_}
        columns.transformers = [
            (name, _unfitted(original, fitted.get(name)), unpacked(selected))
            for name, original, selected in columns.transformers
        ]
        columns.remainder = _unfitted(columns.remainder, fitted.get("remainder"))
        name, _, selected = columns._remainder
        columns._remainder = (name, columns.remainder, unpacked(selected))
        columns._columns = list(map(unpacked, columns._columns))
        return columns


def _unfitted(original: Any, fitted: Any) -> Any:
    is_clone = isinstance(original, str) and original == CLONE and fitted is not None
    return estimators.clone(fitted) if is_clone else original
