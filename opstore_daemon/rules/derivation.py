"""Derive the three subversions of a pushed or registered version (docs/rules.md)."""

import hashlib
import json
from collections.abc import Mapping

from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import LEVELS, Level
from opstore_daemon.protocol.versions import Version


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HASH_OF_NOTHING = _sha256("")


def bump(base: Version | None, level: Level, digest: Digest) -> Version:
    """Return the subversions of bytes pushed with a bump at `level`.

    Subversions above the level are those of `base` (the hash of nothing without a base), those below it are the hash
    of nothing. The one at the level hashes the text of `base` and the digest: with `base` in it, older bytes that are
    pushed again make a new version.
    """
    inherited = base.subversions if base else (HASH_OF_NOTHING, HASH_OF_NOTHING, HASH_OF_NOTHING)
    bumped = LEVELS.index(level)
    renewed = _sha256(f"{base or ''}\n{digest}")
    major, minor, patch = (
        inherited[place] if place < bumped else renewed if place == bumped else HASH_OF_NOTHING
        for place in range(len(LEVELS))
    )
    return Version(major, minor, patch)


def from_fields(fields: Mapping[Level, Mapping[str, str]], digest: Digest | None) -> Version:
    """Return the subversions that hash the declared fields of each level, as JSON with sorted keys and no spaces.

    A level without fields is the hash of nothing, except patch: it is the digest of the bytes, if there are any.
    """

    def subversion(level: Level) -> str:
        if fields.get(level):
            return _sha256(json.dumps(fields[level], sort_keys=True, separators=(",", ":"), ensure_ascii=False))
        return digest.hex if level == "patch" and digest else HASH_OF_NOTHING

    return Version(subversion("major"), subversion("minor"), subversion("patch"))
