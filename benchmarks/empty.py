"""The yardstick of small requests: an empty Flask application on waitress, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """
import sqlite3, sys
from flask import Flask
from waitress import create_server
app = Flask("empty")
local = sqlite3.connect(sys.argv[1], check_same_thread=False)
local.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)")
local.execute("INSERT OR REPLACE INTO t VALUES (1, 'row')")
local.commit()
@app.route("/empty", methods=["GET", "POST"])
def empty():
    return b""
@app.route("/row")
def row():
    return local.execute("SELECT name FROM t WHERE id = 1").fetchone()[0]
server = create_server(app, host="127.0.0.1", port=0, threads=4)
print(server.effective_port, flush=True)
server.run()
"""


@contextmanager
def empty_server(folder: Path) -> Iterator[str]:
    """Yield its URL: `/empty` accepts anything and returns nothing, `/row` returns a row of SQLite."""
    command = [sys.executable, "-c", PROGRAM, str(folder / "empty.db")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()
