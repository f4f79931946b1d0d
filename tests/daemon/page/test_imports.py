"""The views of the page, its templates and grandalf are imported with the first request for a page."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import sys
import opstore_daemon.daemon
from opstore_daemon import OpStoreServer
from opstore_daemon.savers import MemorySaver

def loaded():
    return sorted(name for name in sys.modules if name.startswith(("opstore_daemon.web.page.", "grandalf")))

server = OpStoreServer(MemorySaver())
print(loaded())
server.flask.test_client().get("/v1/status", headers={"Host": "127.0.0.1:80"})
print(loaded())
server.flask.test_client().get("/", headers={"Host": "127.0.0.1:80"})
print(loaded())
"""


@pytest.mark.slow
def test_a_daemon_that_serves_no_page_does_not_import_the_page() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    of_the_error_page = [f"opstore_daemon.web.page.{name}" for name in ("looks", "templating", "words")]
    assert done.stdout.splitlines() == ["[]", "[]", str(of_the_error_page)]
