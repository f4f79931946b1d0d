"""Numbers of bytes for people: a terminal and the page write them alike."""

import re

MAX_SIZE = 10**18 - 1
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_size(count: float) -> str:
    """Return a number of bytes in up to three digits: `870 MB`."""
    units = list(_UNITS)
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} {units[0]}" if units[0] == "B" or count >= 99.95 else f"{count:.1f} {units[0]}"


_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([kKMGTP]?)(i?)B?", re.ASCII)


def parse_size(text: str) -> int | None:
    """Return the bytes that a text such as `50MB`, `1.5 GB`, `512KiB` or `1000` means; None if it means none.

    `k`, `M`, `G`, `T` and `P` are powers of 1000, `Ki` and so on powers of 1024.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        return None
    power = " kMGTP".index(found[2].replace("K", "k") or " ")
    size = round(float(found[1]) * (1024 if found[3] else 1000) ** power)
    return size if size <= MAX_SIZE else None
