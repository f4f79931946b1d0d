"""Numbers of bytes for people: a terminal and the page write them alike."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_size(count: float) -> str:
    """Return a number of bytes in up to three digits: `870 MB`."""
    units = list(_UNITS)
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} {units[0]}" if units[0] == "B" or count >= 99.95 else f"{count:.1f} {units[0]}"
