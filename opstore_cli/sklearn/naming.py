"""The names of the ops of a pipeline: `NAME.STEP`, and `NAME.STEP.INNER` of nested steps."""

from collections.abc import Sequence

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import OpName, PipelineName, is_name, suggest_name

STRUCTURE = "structure"  # the op with how the steps are put together

Path = tuple[str, ...]  # the names of a step and of those around it, the outermost first


def step_name(path: Path) -> str:
    """Return the name of a step as `get_params` has it: `columns__scale`."""
    return "__".join(path)


class Names:
    """The names that are taken. Two steps never share an op."""

    def __init__(self, pipeline: PipelineName) -> None:
        self._pipeline = pipeline
        self.structure = OpName.parse(f"{pipeline}.{STRUCTURE}")
        self._taken: dict[str, str] = {self.structure: "the structure of the pipeline"}

    def op_of(self, path: Path) -> OpName:
        """Return the op of a step. Raises InvalidName, and EstimatorRefused if another step has it."""
        name = _joined(self._pipeline, path)
        described = f"the step {step_name(path)!r}"
        if name in self._taken:
            reason = f"{self._taken[name]} and {described} would both be the op {name}"
            raise errors.EstimatorRefused(
                what=f"the pipeline {self._pipeline}", reason=reason, advice="rename one of these steps"
            )
        self._taken[name] = described
        return name


def _joined(pipeline: str, path: Sequence[str]) -> OpName:
    parts = [pipeline]
    for part in path:
        text = str(part)
        parts.append(text if is_name(f"x.{text}") else suggest_name(text) or text)
    try:
        return OpName.parse(".".join(parts))
    except errors.InvalidName as error:
        error.advice = f"rename the step {step_name(tuple(map(str, path)))!r}, which becomes the op PIPELINE.STEP"
        raise
