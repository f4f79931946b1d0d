"""The tar stream (POSIX pax) of a folder, with exactly one form for each content (docs/folders.md).

Not written by tarfile, because the digests of all folders depend on each of these bytes.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from opstore_daemon.protocol.names import is_device

FOLDER_FORMAT = "folder"  # the `format` of a version that is a folder

BLOCK = 512  # bytes; headers and contents are padded to a multiple
END = bytes(2 * BLOCK)
FILE, LINK, FOLDER, EXTENDED = b"0", b"2", b"5", b"x"
MAX_NAME = 100  # bytes of a path that a plain header holds
MAX_SIZE = 8**11 - 1  # bytes of a file that a plain header holds
MAX_EXTENDED = 256 * 1024  # bytes of an extended header, more than the longest path of any system

_OCTAL = re.compile(rb"([0-7]{11})\0")
_RECORD = re.compile(rb"([0-9]{1,6}) (path|linkpath|size)=")
_WINDOWS = re.compile(r'[<>:"|?*\\\x00-\x1f]|[ .]$')


class InvalidFolder(Exception):
    """The stream or an entry of it is not valid; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link below the folder. `path` is relative, separated by slashes, in UTF-8."""

    path: bytes
    kind: bytes
    size: int = 0  # of a file, in bytes
    executable: bool = False  # of a file: by its owner
    target: bytes = b""  # of a link
    state: tuple[int, ...] = ()  # of a file on the disk: device, inode, size and time, to notice a change

    def __str__(self) -> str:
        return self.path.decode(errors="backslashreplace")


def padding(size: int) -> int:
    """Return the number of zeros that follow a content of `size` bytes."""
    return -size % BLOCK


def check_entry(entry: Entry) -> None:
    """Raise InvalidFolder if the entry can't exist on every machine, or leads out of the folder."""
    _check_text("its name", entry.path)
    if any(part in (b"", b".", b"..") for part in entry.path.split(b"/")):
        raise InvalidFolder("its path is not a plain relative path")
    if entry.kind == LINK:
        _check_text("the target of the link", entry.target)
        _check_target(entry)
    if os.name == "nt":
        _check_windows(entry)


def _check_text(what: str, text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InvalidFolder(f"{what} is not UTF-8; names must be the same on every machine") from None
    if b"\0" in text:
        raise InvalidFolder(f"{what} contains a NUL")


def _check_target(entry: Entry) -> None:
    # If `..` occurs only at the start, each one leaves a real folder, and the rest only goes down, so that the end is
    # in the folder whatever links are on the way. Elsewhere it would depend on which names are links.
    target = entry.target.decode()
    if target.startswith("/") or not target:
        raise InvalidFolder(f"the link's target {target!r} is not a relative path")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = parts.count("..")
    if ".." in parts[ups:]:
        raise InvalidFolder(f"the link's target {target!r} has '..' after a name; it is allowed at the start only")
    if ups > entry.path.count(b"/"):
        raise InvalidFolder(f"the link's target {target!r} is outside the folder")


def _check_windows(entry: Entry) -> None:
    for part in (*entry.path.decode().split("/"), *entry.target.decode().split("/")):
        if part not in ("", ".", "..") and (_WINDOWS.search(part) or is_device(part)):
            raise InvalidFolder(f"{part!r} is not a valid name on Windows")


# --- headers --------------------------------------------------------------------------------------------------------


def header(entry: Entry) -> bytes:
    """Return the bytes before the entry's content: one block, after an extended header if the block can't hold all."""
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
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _field(name: bytes) -> bytes:
    # For readers that ignore the extended header, which has the full name if it is not ASCII or too long.
    return name.decode().encode("ascii", "replace")[:MAX_NAME].ljust(MAX_NAME, b"\0")


def read_entry(read_exactly: Callable[[int], bytes]) -> Entry | None:
    """Return the entry of the next header, None at the end of the stream; raises InvalidFolder.

    `read_exactly` returns the next bytes of the stream. The header is written again from the entry and compared, so
    that each header has exactly one form, and means the same to every reader.
    """
    block = read_exactly(BLOCK)
    if block == bytes(BLOCK):
        if read_exactly(BLOCK) != bytes(BLOCK):
            raise InvalidFolder("its end is not two blocks of zeros")
        return None
    extended, records = b"", b""
    if _kind(block) == EXTENDED:
        size = _size(block)
        if size > MAX_EXTENDED:
            raise InvalidFolder(f"it has an extended header of {size} bytes")
        payload = read_exactly(size + padding(size))
        extended, records, block = block + payload, payload[:size], read_exactly(BLOCK)
    try:
        entry = _entry(block, _records(records))
        is_ours = header(entry) == extended + block
    except UnicodeDecodeError:
        is_ours = False
    if not is_ours:
        raise InvalidFolder("a header is not in the form that opstore writes")
    return entry


def _entry(block: bytes, records: dict[bytes, bytes]) -> Entry:
    kind = _kind(block)
    if kind not in (FILE, FOLDER, LINK):
        raise InvalidFolder(f"it has an entry of type {kind.decode('latin-1')!r}, which is not a file, folder or link")
    name = records.get(b"path", block[:MAX_NAME].rstrip(b"\0"))
    return Entry(
        path=name.removesuffix(b"/") if kind == FOLDER else name,
        kind=kind,
        size=(int(records[b"size"]) if b"size" in records else _size(block)) if kind == FILE else 0,
        executable=kind == FILE and block[100:108] == b"0000755\0",
        target=records.get(b"linkpath", block[157:257].rstrip(b"\0")) if kind == LINK else b"",
    )


def _kind(block: bytes) -> bytes:
    return block[156:157]


def _size(block: bytes) -> int:
    digits = _OCTAL.fullmatch(block[124:136])
    if digits is None:
        raise InvalidFolder("a header has no valid size")
    return int(digits[1], 8)


def _records(data: bytes) -> dict[bytes, bytes]:
    """Return the records of an extended header; `read_entry` detects any other fault in them."""
    records: dict[bytes, bytes] = {}
    while data:
        start = _RECORD.match(data)
        if start is None or int(start[1]) <= start.end():
            raise InvalidFolder("an extended header has an unexpected record")
        length = int(start[1])
        records[start[2]] = data[start.end() : length - 1]
        data = data[length:]
    if not re.fullmatch(rb"[0-9]{1,19}", records.get(b"size", b"0")):
        raise InvalidFolder("an extended header has no valid size")
    return records
