"""What docs/operations.md has at hand: a database, a bucket, HAProxy, and ports of its own."""

import shlex
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from tests.support.markdown import ROOT
from tests.support.private_server import free_ports
from tests.support.programs import installed

if TYPE_CHECKING:
    from tests.support.object_store import Bucket

DOCUMENT = "docs/operations.md"
_PORTS = ("8080", "8101", "8102", "8103")


def before(database: str, bucket: "Bucket") -> str:
    """Return the commands that set the stage. All that the blocks start ends with the shell."""
    url = make_url(database)
    variables = {
        "DATABASE": url._replace(password=None).render_as_string(),
        "PGPASSWORD": str(url.password),
        "SAVER": bucket.url,
        **bucket.environ,
    }
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([
        *exports,
        f"PATH=$PATH:{installed('haproxy').parent}",
        "trap 'kill -9 $(cat ./*.pid) 2>/dev/null || true' EXIT",
        f"ln -s {shlex.quote(str(ROOT / 'deploy'))} deploy",
    ])  # fmt: skip


def ports() -> dict[str, str]:
    """Return a free port for each of the document's."""
    return dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
