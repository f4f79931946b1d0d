"""The parts of paths, each declared once: its form, what it is, and the errors that it may meet."""

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Name, UploadId


@dataclass(frozen=True)
class Part:
    """A part of a path."""

    says: str
    kind: Any
    raises: tuple[type[errors.OpStoreError], ...]


PARTS = {
    "op": Part("The name of an op.", Name, (errors.InvalidName,)),
    "pipeline": Part("The name of a pipeline.", Name, (errors.InvalidName,)),
    "selector": Part(
        "What stands behind the `@` of a reference: `latest`, `1.2.3`, `1.2`, `sha256:HEX`, `>=1.2,<2` ...",
        Annotated[str, Meta(min_length=1)],
        (errors.InvalidReference, errors.InvalidVersion, errors.AmbiguousReference),
    ),
    "tag": Part("The name of a tag.", Name, (errors.InvalidName, errors.TagNotFound)),
    "upload": Part("The upload, as the answer that made it says.", UploadId, (errors.UploadNotFound,)),
}
