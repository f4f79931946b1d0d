"""A listening server, as a browser without a window meets it."""

import requests

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import routes

TIMEOUT = 30


class Site:
    """A listening server, as a browser without a window meets it."""

    def __init__(self, server: OpStoreServer, listener: Listener) -> None:
        self.server, self.url, self.port = server, listener.url, listener.port
        self.browser = requests.Session()
        self.browser.trust_env = False

    def invite(self) -> str:
        """Return a path that starts a session."""
        answer = requests.post(self.url + routes.SESSIONS, headers=self.bearer, timeout=TIMEOUT)
        assert answer.status_code == 201, answer.text
        path: str = answer.json()["path"]
        return path

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.token}"}

    def sign_in(self) -> None:
        assert self.get(self.invite()).status_code == 303

    def get(self, path: str, **options: object) -> requests.Response:
        return self.browser.get(self.url + path, timeout=TIMEOUT, allow_redirects=False, **options)  # type: ignore[arg-type]

    def text(self, path: str) -> str:
        """Return the HTML of a page."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text
