"""How a folder is written as bytes: a tar stream (POSIX pax) with exactly one form for each content (docs/folders.md).

Written out here, and not left to tarfile, since the digests of all folders hang on each of these bytes.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from opstore_daemon.protocol.names import is_device

FOLDER_FORMAT = "folder"  # the `format` of a version that is one

UNIT = 512  # bytes: whatever a tar stream holds is filled up to a multiple of it
END = bytes(2 * UNIT)
FILE, LINK, FOLDER, EXTENDED = b"0", b"2", b"5", b"x"
MAX_NAME = 100  # bytes of a path that a plain header holds
MAX_SIZE = 8**11 - 1  # bytes of a file, the same
MAX_EXTENDED = 256 * 1024  # bytes of an extended header: more than any path that a system takes

_OCTAL = re.compile(rb"([0-7]{11})\0")
_RECORD = re.compile(rb"([0-9]{1,6}) (path|linkpath|size)=")
_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[ .]$')


class NoFolder(Exception):
    """Bytes that are not a folder as it is written here; the reason in words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link below the folder. `path` is relative, its parts set apart by slashes, in UTF-8."""

    path: bytes
    kind: bytes
    size: int = 0  # of a file, in bytes
    executable: bool = False  # a file, by its owner
    target: bytes = b""  # of a link
    state: tuple[int, ...] = ()  # what tells a file on the disk from what it may become

    def __str__(self) -> str:
        return self.path.decode(errors="backslashreplace")


def padding(size: int) -> int:
    """The zeros that follow so many bytes."""
    return -size % UNIT


def check_entry(entry: Entry) -> None:
    """Raises NoFolder where the entry could not be on some machine, or could lead out of the folder."""
    _check_text("its name", entry.path)
    if any(part in (b"", b".", b"..") for part in entry.path.split(b"/")):
        raise NoFolder("its path does not go down from the folder")
    if entry.kind == LINK:
        _check_text("where the link leads", entry.target)
        _check_target(entry)
    if os.name == "nt":
        _check_windows(entry)


def _check_text(what: str, text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise NoFolder(f"{what} is not UTF-8, as all names have to be, to be the same on every machine") from None
    if b"\0" in text:
        raise NoFolder(f"{what} holds a NUL")


def _check_target(entry: Entry) -> None:
    # Where `..` stands only in front, each of it leaves a real folder, and what follows only goes down: whatever
    # links are met there, the end is in the folder. Anywhere else it depends on what is a link on the way.
    target = entry.target.decode()
    if target.startswith("/") or not target:
        raise NoFolder(f"the link leads to {target!r}, which is no relative path")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = parts.count("..")
    if ".." in parts[ups:]:
        raise NoFolder(f"the link leads to {target!r}, where '..' follows a name: it may only stand in front")
    if ups > entry.path.count(b"/"):
        raise NoFolder(f"the link leads to {target!r}, which is outside of the folder")


def _check_windows(entry: Entry) -> None:
    for part in (*entry.path.decode().split("/"), *entry.target.decode().split("/")):
        if part not in ("", ".", "..") and (_WINDOWS.search(part) or is_device(part)):
            raise NoFolder(f"{part!r} is no name on Windows")


# --- headers --------------------------------------------------------------------------------------------------------


def header(entry: Entry) -> bytes:
    """What stands before the content of the entry: one block and, where that can't hold it, an extended header."""
    name = entry.path + b"/" if entry.kind == FOLDER else entry.path
    records = b""
    if not _is_plain(name):
        records += _record(b"path", name)
    if not _is_plain(entry.target):
        records += _record(b"linkpath", entry.target)
    if entry.size > MAX_SIZE:
        records += _record(b"size", b"%d" % entry.size)
    extended = b""
    if records:
        extended = _block(b"././@PaxHeader", 0, len(records), EXTENDED) + records + bytes(padding(len(records)))
    return extended + _block(name, _mode(entry), entry.size if entry.size <= MAX_SIZE else 0, entry.kind, entry.target)


def _mode(entry: Entry) -> int:
    if entry.kind == LINK:
        return 0o777
    return 0o755 if entry.kind == FOLDER or entry.executable else 0o644


def _is_plain(name: bytes) -> bool:
    return name.isascii() and len(name) <= MAX_NAME


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    # The length counts its own digits.
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%s" % (length, rest)


def _block(name: bytes, mode: int, size: int, kind: bytes, target: bytes = b"") -> bytes:
    fields = (
        _field(name),
        b"%07o\0" % mode,
        b"0000000\0" * 2,  # user and group
        b"%011o\0" % size,
        b"00000000000\0",  # time
        b" " * 8,  # the checksum, as it counts itself
        kind,
        _field(target),
        b"ustar\00000",
    )
    block = b"".join(fields).ljust(UNIT, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _field(name: bytes) -> bytes:
    # What is not ASCII, or too long, stands in the extended header; this is for who does not read that.
    return name.decode().encode("ascii", "replace")[:MAX_NAME].ljust(MAX_NAME, b"\0")


def read_entry(take: Callable[[int], bytes]) -> Entry | None:
    """The entry whose header comes next, None at the end; raises NoFolder.

    `take` returns the next so many bytes. What is read is written anew and compared: so there is no second form of
    any header, and nothing in it that one reader sees and another does not.
    """
    block = take(UNIT)
    if block == bytes(UNIT):
        if take(UNIT) != bytes(UNIT):
            raise NoFolder("its end is not two blocks of zeros")
        return None
    extended, records = b"", b""
    if _kind(block) == EXTENDED:
        size = _size(block)
        if size > MAX_EXTENDED:
            raise NoFolder(f"it has an extended header of {size} bytes")
        payload = take(size + padding(size))
        extended, records, block = block + payload, payload[:size], take(UNIT)
    try:
        entry = _entry(block, _records(records))
        is_ours = header(entry) == extended + block
    except UnicodeDecodeError:
        is_ours = False
    if not is_ours:
        raise NoFolder("a header is not written as opstore does it")
    return entry


def _entry(block: bytes, told: dict[bytes, bytes]) -> Entry:
    kind = _kind(block)
    if kind not in (FILE, FOLDER, LINK):
        raise NoFolder(f"it has an entry of type {kind.decode('latin-1')!r}: no file, folder or link")
    name = told.get(b"path", block[:MAX_NAME].rstrip(b"\0"))
    return Entry(
        path=name.removesuffix(b"/") if kind == FOLDER else name,
        kind=kind,
        size=(int(told[b"size"]) if b"size" in told else _size(block)) if kind == FILE else 0,
        executable=kind == FILE and block[100:108] == b"0000755\0",
        target=told.get(b"linkpath", block[157:257].rstrip(b"\0")) if kind == LINK else b"",
    )


def _kind(block: bytes) -> bytes:
    return block[156:157]


def _size(block: bytes) -> int:
    digits = _OCTAL.fullmatch(block[124:136])
    if digits is None:
        raise NoFolder("a header has no size")
    return int(digits[1], 8)


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records, as well as they can be made out: the comparison finds what is wrong with them."""
    found: dict[bytes, bytes] = {}
    while data:
        start = _RECORD.match(data)
        if start is None or int(start[1]) <= start.end():
            raise NoFolder("an extended header says what is not in a folder")
        length = int(start[1])
        found[start[2]] = data[start.end() : length - 1]
        data = data[length:]
    if not re.fullmatch(rb"[0-9]{1,19}", found.get(b"size", b"0")):
        raise NoFolder("an extended header has no size")
    return found
