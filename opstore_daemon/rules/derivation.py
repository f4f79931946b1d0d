"""Which three subversions a push makes (CONTRACT section 3)."""

import hashlib
import json
from collections.abc import Mapping

from opstore_daemon.protocol.digests import Digest, hex_of
from opstore_daemon.protocol.records import LEVELS, Level
from opstore_daemon.protocol.versions import Version


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


NOTHING = _sha256("")


def bump(base: Version | None, level: Level, digest: Digest) -> Version:
    """The version that bytes of this digest make of the base: its own above the level, new at it, nothing below.

    Without a base there is nothing above either. The new subversion hashes the base's text too, so that older
    bytes pushed again make a new version.
    """
    own = base.subversions if base else (NOTHING, NOTHING, NOTHING)
    at = LEVELS.index(level)
    new = _sha256(f"{base or ''}\n{digest}")
    major, minor, patch = (
        own[place] if place < at else new if place == at else NOTHING for place in range(len(LEVELS))
    )
    return Version(major, minor, patch)


def from_fields(fields: Mapping[Level, Mapping[str, str]], digest: Digest | None) -> Version:
    """The version of what an op declares: each level the hash of its fields as JSON, keys sorted, no blanks.

    A level without fields is the hash of nothing; the patch is then the bytes' digest, where there are bytes.
    """

    def subversion(level: Level) -> str:
        if fields.get(level):
            return _sha256(json.dumps(fields[level], sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        return hex_of(digest) if level == "patch" and digest else NOTHING

    return Version(subversion("major"), subversion("minor"), subversion("patch"))
