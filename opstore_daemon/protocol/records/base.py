"""The base classes of the records, and the bounds of their values.

Names, references, versions, digests and checksums have types of their own (`protocol.names`, ...): `wire.decode` parses
them, and raises their own errors.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from opstore_daemon.protocol.references import Reference

Level = Literal["major", "minor", "patch"]
Compat = Literal["major", "minor", "exact"]
VerdictWord = Literal["valid", "invalid", "unknown"]
LinkState = Literal["valid", "invalid", "revoked"]
Otherwise = Literal["refuse", "patch"]

LEVELS: tuple[Level, ...] = ("major", "minor", "patch")

# What users write: kept as it is, never interpreted; a NUL is refused, since not every database takes it.
_NO_NUL = r"^[^\x00]*$"
Message = Annotated[str, Meta(max_length=65536, pattern=_NO_NUL)]
Evidence = Annotated[str, Meta(max_length=4096, pattern=_NO_NUL)]
Reason = Annotated[str, Meta(min_length=1, max_length=4096, pattern=_NO_NUL)]
# A bare `$` would let a line feed at the end pass.
LabelKey = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f=]*(?![\s\S])")]
LabelValue = Annotated[str, Meta(max_length=1024, pattern=_NO_NUL)]
Labels = Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)]
Format = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9.+-]*(?![\s\S])")]
Libraries = Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)]
FieldKey = Annotated[str, Meta(min_length=1, max_length=1024)]
FieldValue = Annotated[str, Meta(max_length=65536)]
# msgspec leaves the keys out of the schema.
Fields = Annotated[
    dict[Level, dict[FieldKey, FieldValue]], Meta(extra_json_schema={"propertyNames": {"enum": list(LEVELS)}})
]
UploadId = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
References = Annotated[tuple[Reference, ...], Meta(max_length=1000)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[datetime, Meta(tz=True)]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A response. Clients ignore the keys of a newer daemon."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. Unknown keys are refused."""
