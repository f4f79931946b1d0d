"""The digests that name a set of versions and a command: the same in every store.

A set is one version of each op of a pipeline.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from opstore_daemon.protocol.digests import Digest


def set_digest(edges: Iterable[tuple[str, str]], subversions: Mapping[str, str]) -> Digest:
    """Return the digest of a set: the SHA-256 of its canonical JSON.

    That is the UTF-8 JSON object, with sorted keys and no blanks, of `edges`, the sorted list of [upstream,
    downstream], and `versions`, the sorted list of [op, MAJOR.MINOR.PATCH], the subversions of each version.
    """
    document = {"edges": sorted(map(list, edges)), "versions": sorted(map(list, subversions.items()))}
    return _digest(document)


def command_digest(command: Sequence[str]) -> Digest:
    """Return the digest of a command: the SHA-256 of the UTF-8 JSON list of its words, without blanks."""
    return _digest(list(command))


def _digest(document: object) -> Digest:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Digest.parse(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")
