"""The parameters in paths, each declared once: its type, what it is, and the errors that it may cause."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import UploadId
from opstore_daemon.protocol.references import TagName


@dataclass(frozen=True)
class PathParameter:
    """A parameter in a path."""

    description: str
    value_type: Any
    raises: tuple[type[errors.OpStoreError], ...]


PATH_PARAMETERS = {
    "op": PathParameter("The name of an op.", OpName, (errors.InvalidName,)),
    "pipeline": PathParameter("The name of a pipeline.", PipelineName, (errors.InvalidName,)),
    "selector": PathParameter(
        "The part of a reference after the `@`: `latest`, `1.2.3`, `1.2`, `sha256:HEX`, `>=1.2,<2` ...",
        Annotated[str, Meta(min_length=1)],
        (errors.InvalidReference, errors.InvalidVersion, errors.AmbiguousReference),
    ),
    "tag": PathParameter("The name of a tag.", TagName, (errors.InvalidName, errors.InvalidTag, errors.TagNotFound)),
    "upload": PathParameter("The id of the upload.", UploadId, (errors.UploadNotFound,)),
}


def parse(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a path by name, each as its type; raise the error of its type."""
    return {name: _typed(PATH_PARAMETERS[name].value_type, value) for name, value in arguments.items()}


def _typed(value_type: Any, value: str) -> str:
    return value_type.parse(value) if isinstance(value_type, type) and issubclass(value_type, CheckedText) else value
