"""Make the pictures of docs/pictures: the page in a browser, and commands in a terminal.

`make screenshots` runs it. It needs Chromium (Debian's package `chromium`). The pictures show the store of
tests/daemon/page/stores.py.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from opstore_cli import OpStoreClient
from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.savers import FileSaver
from tests.daemon.page import stores
from tests.daemon.page.browser import chromium
from tests.support.places import LocalPlace
from tests.support.terminal import printed

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"

# Of the page: its path, the width of the window, and the scheme of colours.
PAGES = {
    "page-home": ("/", 1200, "light"),
    "page-op": ("/ui/ops/pca", 1200, "light"),
    "page-version": ("/ui/ops/pca/1.2.0", 1200, "light"),
    "page-matrix": ("/ui/matrix/pca/random_forest", 1200, "dark"),
    "page-pipeline": ("/ui/pipelines/churn", 1200, "light"),
    "page-graph": ("/ui/pipelines/reviews", 1200, "dark"),
    "page-comparison": ("/ui/compare?one=encoder@1.0.0&other=encoder@1.0.1", 1200, "light"),
    "page-run": ("/ui/runs/31", 1200, "light"),
    "page-journal": ("/ui/journal", 1200, "light"),
    "page-phone": ("/ui/pipelines/churn", 390, "light"),
}
LARGE = {"page-map": ("/ui/matrix/upstream/downstream?row=400&column=400", 1200, "light")}

# In a terminal: the command, and how many columns it has.
COMMANDS = {
    "terminal-first": ("", 80),
    "terminal-versions": ("versions pca", 80),
    "terminal-valid-for": ("versions pca --valid-for random_forest --latest", 80),
    "terminal-validate": ("validate churn", 80),
    "terminal-narrow": ("validate churn", 60),
    "terminal-graph": ("graph reviews", 100),
    "terminal-resolve": ("resolve churn", 80),
    "terminal-show": ("show pca@1.2.0", 80),
    "terminal-error": ("pull pac", 80),
}


def shoot(server: OpStoreServer, pages: dict[str, tuple[str, int, str]]) -> None:
    """Take pictures of these pages of the server."""
    with Listener(server) as listener, chromium() as browser, OpStoreClient(listener.url, token=server.token) as client:
        tab = browser.new_page(viewport={"width": 1200, "height": 1200})
        tab.goto(listener.url + client.invite().path)
        for name, (path, width, scheme) in pages.items():
            tab.set_viewport_size({"width": width, "height": 600})  # the least height of a picture
            tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            tab.goto(listener.url + path)
            height = tab.evaluate("Math.ceil(document.querySelector('footer').getBoundingClientRect().bottom)")
            clip = {"x": 0, "y": 0, "width": width, "height": height}
            tab.screenshot(path=FOLDER / f"{name}.png", full_page=True, clip=clip)  # type: ignore[arg-type]
            click.echo(f"wrote docs/pictures/{name}.png")


@contextmanager
def shell() -> Iterator[dict[str, str]]:
    """Yield the environment of a user with a store to look at; its daemon is stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "data"
        home.mkdir(mode=0o700)
        saver, clock = FileSaver(home / "blobs"), stores.Clock()
        with closing(OpStoreServer(saver, f"sqlite:///{home / 'opstore.db'}", clock=clock)) as server:
            stores.few(server.store)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPSTORE_", "NO_COLOR"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**kept, "HOME": folder, "OPSTORE_HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8"}
        env |= {"TERM": "xterm-256color", "PYTHONWARNINGS": "error"}
        try:
            subprocess.run(["opstore", "start"], env=env, cwd=folder, check=True, capture_output=True)  # noqa: S607
            yield env
        finally:
            subprocess.run(["opstore", "stop"], env=env, cwd=folder, check=True, capture_output=True)  # noqa: S607


def draw(name: str, line: str, columns: int, env: dict[str, str]) -> None:
    """Draw what the command writes as an SVG that loads nothing."""
    said = printed(["opstore", *line.split()], env, Path(env["HOME"]), columns)
    console = Console(record=True, width=columns, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (f"opstore {line}".rstrip(), "bold")))
    console.print(Text.from_ansi(said))
    picture = console.export_svg(title=f"opstore {line}".rstrip(), unique_id=name)
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    (FOLDER / f"{name}.svg").write_text(picture, "utf-8")
    click.echo(f"wrote docs/pictures/{name}.svg")


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with closing(stores.server(LocalPlace())) as server:
        stores.few(server.store)
        stores.folders(server.store)
        stores.runs(server.store)
        stores.bisection(server.store)
        shoot(server, PAGES)
    with closing(stores.server(LocalPlace())) as server:
        stores.many_versions(server, 500)
        shoot(server, LARGE)
    with shell() as env:
        for name, (line, columns) in COMMANDS.items():
            draw(name, line, columns, env)


if __name__ == "__main__":
    main()
