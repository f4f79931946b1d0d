"""Standard streams that the caller has closed."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from opstore_cli.output import streams
streams.prepare()
os._exit(0 if min(os.pipe()) > 2 and all(os.get_inheritable(stream) for stream in range(3)) else 1)
"""


@pytest.mark.skipif(os.name != "posix", reason="requires POSIX descriptors")
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_file_gets_the_descriptor_of_a_closed_stream(closed: tuple[int, ...]) -> None:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    assert subprocess.run([sys.executable, "-c", PROGRAM], preexec_fn=close, check=False).returncode == 0
