"""Run a server until nobody holds the lock on its folder any more, then end it and delete the folder.

`tests/support/private_server.py` starts this file as a process of its own, with nothing but the standard library, and
gives its orders as JSON. The kernel releases the locks of a process that is killed, so a killed test run ends its
servers. The server itself ends with this process.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PATIENCE = 10  # seconds for a server to end


def main() -> None:
    """Follow the orders in the first argument; write the number of the server's process to standard output."""
    orders = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that what follows is cleaned up
    with open(Path(orders["folder"], "lock"), "r+b") as lock, open(orders["log"], "ab") as log:
        server = _start(orders, log.fileno())
        # The server may be stopped by a test: it must not stay a zombie.
        reaper = threading.Thread(target=server.wait, daemon=True)
        reaper.start()
        os.write(1, b"%d\n" % server.pid)
        os.close(1)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX)
        finally:
            _end(server, orders["signal"], reaper)
            shutil.rmtree(orders["folder"], ignore_errors=True)
            for path in orders["leftovers"]:
                with suppress(OSError):
                    os.unlink(path)


def _start(orders: dict[str, object], log: int) -> "subprocess.Popen[bytes]":
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    number = orders["signal"]

    def end_with_parent() -> None:  # after the change of the user, which would reset it
        if library is not None:
            library.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)

    user: dict[str, object] = {}
    if orders["user"] is not None:
        user = {"user": orders["user"][0], "group": orders["user"][1], "extra_groups": []}  # type: ignore[index]
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        orders["command"],
        env=orders["environ"],
        cwd=orders["folder"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=end_with_parent,
        **user,
    )


def _end(server: "subprocess.Popen[bytes]", number: int, reaper: threading.Thread) -> None:
    server.send_signal(number)
    reaper.join(PATIENCE)
    if reaper.is_alive():
        server.kill()
        reaper.join(PATIENCE)


if __name__ == "__main__":
    main()
