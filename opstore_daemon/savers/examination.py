"""What `fsck` learns from a saver about its storage."""

from typing import Literal, NamedTuple

from opstore_daemon.protocol.digests import Digest


class Stored(NamedTuple):
    """What is at the place of a blob; `size` in bytes.

    `problem` says in words why it can't be read as a blob; None if nothing speaks against it. `is_other`: it is
    something else, such as a folder.
    `state` is another one whenever the bytes were replaced: compare it before you act on what you read.
    """

    size: int
    problem: str | None
    state: str
    is_other: bool = False


class Suspect(NamedTuple):
    """A blob that seems to be gone, or to have another size than was recorded: examine it."""

    digest: Digest


class Irregularity(NamedTuple):
    """What should not be in the storage, or not as it is: its kind, its path or name, and what was observed.

    `advice` says what to do about it.
    """

    kind: Literal["foreign", "leftover", "permissions"]
    what: str
    observed: str
    advice: str
