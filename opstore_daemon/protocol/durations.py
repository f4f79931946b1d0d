"""Durations as people write them: a number of seconds, or of the unit that follows it."""

import re

_DURATION = re.compile(r"([0-9]{1,9})\s*(s|m|min|h|d)?", re.ASCII)
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Return the seconds of `90`, `90s`, `10m`, `2h` or `1d`; raises ValueError with the rule in words."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 90, 90s, 10m, 2h or 1d")
    return float(int(match[1]) * _SECONDS[match[2]])


def format_duration(seconds: float) -> str:
    """Return how long something took, in two units at most: `0.02 s`, `3.2 s`, `42 s`, `2 min 5 s`, `3 h 20 min`."""
    if seconds < 0.95:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours = whole // 60, whole // 3600
    if not minutes:
        return f"{whole} s"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {whole % 60} s"
