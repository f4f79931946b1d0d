"""The base classes of the records, and the bounds of their values.

In requests, names, references, versions, digests and checksums have types of their own (`protocol.names`, ...):
`wire.decode` parses them, and raises their own errors. In responses they are texts with the same patterns: a decoder
refuses anything else, and the store makes records of what it has without a check.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from opstore_daemon.protocol.authors import MAX_AUTHOR
from opstore_daemon.protocol.checked_text import CheckedText
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.limits import MAX_LABELS
from opstore_daemon.protocol.names import Name
from opstore_daemon.protocol.records.patterns import FILENAME, FORMAT, LABEL_KEY, NO_NUL
from opstore_daemon.protocol.records.presentation import Columns, Presentation
from opstore_daemon.protocol.references import Reference
from opstore_daemon.protocol.versions import NUMBER_FORM, SUBVERSIONS_FORM

Level = Literal["major", "minor", "patch"]
Compat = Literal["major", "minor", "exact"]
EXACT: Compat = "exact"  # of a new op: a version that nobody validated is not valid
VerdictWord = Literal["valid", "invalid", "unknown"]
Basis = Literal[
    "link",
    "known-invalid",
    "compatible",
    "not-validated",
    "no-links",
    "no-version",
    "upstream-affected",
    "environment",
]
VERDICTS: dict[
    Basis, VerdictWord
] = {  # the verdict that each basis of the daemon leads to; `environment` is a client's
    "link": "valid",
    "known-invalid": "invalid",
    "compatible": "valid",
    "not-validated": "invalid",
    "no-links": "unknown",
    "no-version": "unknown",
    "upstream-affected": "unknown",
}
SetBasis = Literal["run", "run-failed", "not-run"]
SET_VERDICTS: dict[SetBasis, VerdictWord] = {"run": "valid", "run-failed": "invalid", "not-run": "unknown"}
LinkState = Literal["valid", "invalid", "revoked"]
Otherwise = Literal["refuse", "patch"]

LEVELS: tuple[Level, ...] = ("major", "minor", "patch")

# What users write: kept as it is, never interpreted; a NUL is refused, since not every database takes it.
Message = Annotated[str, Meta(max_length=65536, pattern=NO_NUL)]
Description = Annotated[str, Meta(max_length=65536, pattern=NO_NUL)]
Evidence = Annotated[str, Meta(max_length=4096, pattern=NO_NUL)]
Reason = Annotated[str, Meta(min_length=1, max_length=4096, pattern=NO_NUL)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=128, pattern=LABEL_KEY)]
LabelValue = Annotated[str, Meta(max_length=1024, pattern=NO_NUL)]
Labels = Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)]
Format = Annotated[str, Meta(min_length=1, max_length=64, pattern=FORMAT)]
# The name of the file that was pushed: no path, and nothing that a terminal interprets.
Filename = Annotated[str, Meta(min_length=1, max_length=255, pattern=FILENAME)]
Libraries = Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)]
FieldKey = Annotated[str, Meta(min_length=1, max_length=1024)]
FieldValue = Annotated[str, Meta(max_length=65536)]
# msgspec leaves the keys out of the schema.
Fields = Annotated[
    dict[Level, dict[FieldKey, FieldValue]], Meta(extra_json_schema={"propertyNames": {"enum": list(LEVELS)}})
]
UploadId = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
# A client need not know how the daemon makes them: it puts them into a path and a file.
UploadText = Annotated[str, Meta(max_length=200, pattern=r"^[A-Za-z0-9_-]+(?![\s\S])")]
# A credential: it belongs in no log and no error.
SignedUrl = Annotated[str, Meta(max_length=8192, pattern="^https?://")]
References = Annotated[tuple[Reference, ...], Meta(max_length=1000)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = Size
Position = Size  # of an entry of the journal; 0: before the first one
Sequence = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Time = Annotated[datetime, Meta(tz=True)]
AuthorText = Annotated[str, Meta(min_length=1, max_length=MAX_AUTHOR)]  # as the client that made a change named it

# In responses.
NameText = Annotated[str, Meta(max_length=128, pattern=Name.PATTERN)]
NumberText = Annotated[str, Meta(max_length=32, pattern=rf"^{NUMBER_FORM}(?![\s\S])")]
SubversionsText = Annotated[str, Meta(max_length=194, pattern=rf"^{SUBVERSIONS_FORM}(?![\s\S])")]
DigestText = Annotated[str, Meta(max_length=71, pattern=Digest.PATTERN)]
Note = Annotated[str, Meta(max_length=64)]
Sentence = Annotated[str, Meta(max_length=65536)]  # by the daemon, in words
Word = Annotated[str, Meta(max_length=128)]  # such as the version of the daemon
Cursor = Annotated[str, Meta(min_length=1, max_length=1024)]


class Record(Columns, Presentation, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A response. Clients ignore the keys of a newer daemon."""


class Request(Presentation, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. Unknown keys are refused."""


class VerdictText(CheckedText):
    """The word of a verdict, which is true only if it is `valid`, so that `if edge.verdict` is a gate."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return self == "valid"


class WithVerdict:
    """A record whose field `verdict` is true only if it is `valid`: any other word of a plain `str` is true as well."""

    __slots__ = ()

    verdict: VerdictWord

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "verdict", VerdictText(self.verdict))  # type: ignore[arg-type]
