"""The parameters in paths, each declared once: its type, what it is, and the errors that it may cause."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Name, UploadId


@dataclass(frozen=True)
class PathParameter:
    """A parameter in a path."""

    description: str
    value_type: Any
    raises: tuple[type[errors.OpStoreError], ...]


PATH_PARAMETERS = {
    "op": PathParameter("The name of an op.", Name, (errors.InvalidName,)),
    "pipeline": PathParameter("The name of a pipeline.", Name, (errors.InvalidName,)),
    "selector": PathParameter(
        "The part of a reference after the `@`: `latest`, `1.2.3`, `1.2`, `sha256:HEX`, `>=1.2,<2` ...",
        Annotated[str, Meta(min_length=1)],
        (errors.InvalidReference, errors.InvalidVersion, errors.AmbiguousReference),
    ),
    "tag": PathParameter("The name of a tag.", Name, (errors.InvalidName, errors.TagNotFound)),
    "upload": PathParameter("The id of the upload.", UploadId, (errors.UploadNotFound,)),
}
