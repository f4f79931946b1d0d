"""The lines of what a command printed."""

import re

_ENDS = re.compile(r"\r\n|\n|\r")  # a progress bar writes its lines over each other with \r


def output_lines(output: str) -> list[str]:
    """Return the lines without their ends; a line that the next one would overwrite on a terminal is a line, too."""
    lines = _ENDS.split(output)
    return lines if lines[-1] else lines[:-1]
