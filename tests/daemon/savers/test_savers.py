"""Both savers pass the conformance tests that are shipped for savers of your own."""

import subprocess
import sys

from tests.daemon.savers.joined import FileSaverJoins, MemorySaverJoins


class TestFileSaver(FileSaverJoins):
    pass


class TestMemorySaver(MemorySaverJoins):
    pass


def test_the_savers_do_not_need_pytest() -> None:
    program = "import sys, opstore_daemon.savers; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
