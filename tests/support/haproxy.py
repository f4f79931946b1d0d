"""HAProxy with the configuration of deploy/, in front of daemons on ports of loopback."""

import re
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.support.markdown import ROOT
from tests.support.private_server import PrivateServer
from tests.support.programs import installed

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
# The daemons of compose.yaml have one name and one port; here they have ports of their own.
_BIND, _TEMPLATE = "bind :8080", r"^    server-template .*$"
_DEFAULT = " resolvers containers init-addr none"


CHECKED = "127.0.0.1:8100"
"""The Host of its health checks, which daemons on other ports have to accept."""


class Haproxy(PrivateServer):
    """HAProxy on a port of loopback; `daemons` are the ports of its daemons."""

    NAME = "haproxy"

    def __init__(self, daemons: Sequence[int], *, log: Path | None = None) -> None:
        super().__init__(log=log)
        self._daemons = daemons

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def _command(self) -> Sequence[str | Path]:
        path = self.folder / "haproxy.cfg"
        path.write_text(configuration_for(self.ports[0], self._daemons))
        self.give(path)
        return [installed("haproxy"), "-db", "-f", path]

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports[0]), timeout=5).close()
        except OSError:  # not yet
            return False
        return True


def configuration_for(port: int, daemons: Sequence[int]) -> str:
    """Return the configuration of deploy/ with another port, and these daemons in place of the containers."""
    text = CONFIGURATION.read_text()
    assert text.count(_BIND) == text.count(_DEFAULT) == 1
    text = text.replace(_BIND, f"bind 127.0.0.1:{port}").replace(_DEFAULT, "")
    assert f"hdr Host {CHECKED}" in text
    servers = [f"    server daemon{number} 127.0.0.1:{each}" for number, each in enumerate(daemons)]
    text, count = re.subn(_TEMPLATE, "\n".join(servers), text, flags=re.MULTILINE)
    assert count == 1
    return text
