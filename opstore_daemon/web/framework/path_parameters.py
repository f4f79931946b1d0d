"""The parameters in paths, each declared once: its type, what it is, and the errors that it may cause."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.names import OpName, PipelineName
from opstore_daemon.protocol.records import UploadId
from opstore_daemon.protocol.references import Reference, TagName


@dataclass(frozen=True)
class PathParameter:
    """A parameter in a path."""

    description: str
    value_type: Any
    raises: tuple[type[errors.OpStoreError], ...] = ()


PATH_PARAMETERS = {
    "op": PathParameter("The name of an op.", OpName, (errors.InvalidName,)),
    "other": PathParameter("The name of another op.", OpName, (errors.InvalidName,)),
    "pipeline": PathParameter("The name of a pipeline.", PipelineName, (errors.InvalidName,)),
    "selector": PathParameter(
        "The part of a reference after the `@`: `latest`, `1.2.3`, `1.2`, `sha256:HEX`, `>=1.2,<2` ...",
        Annotated[str, Meta(min_length=1)],
        (errors.InvalidReference, errors.InvalidVersion, errors.AmbiguousReference),
    ),
    "tag": PathParameter("The name of a tag.", TagName, (errors.InvalidName, errors.InvalidTag, errors.TagNotFound)),
    "upload": PathParameter("The id of the upload.", UploadId, (errors.UploadNotFound,)),
    "run": PathParameter(
        "The position of a run in the journal.",
        Annotated[str, Meta(extra_json_schema={"pattern": "^[1-9][0-9]{0,17}$"})],
        (errors.RunNotFound,),
    ),
    "code": PathParameter("The code that starts a session.", str),
}


def parse(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a view: the parameters by name, with `reference` in place of an op and a selector.

    Raises the errors of their types.
    """
    arguments: dict[str, Any] = {
        name: _parse_typed(PATH_PARAMETERS[name].value_type, text) for name, text in texts.items()
    }
    if "selector" in arguments:
        arguments["reference"] = Reference.of(arguments.pop("op"), arguments.pop("selector"))
    return arguments


def _parse_typed(value_type: Any, text: str) -> str:
    return value_type.parse(text) if isinstance(value_type, type) and issubclass(value_type, CheckedText) else text
