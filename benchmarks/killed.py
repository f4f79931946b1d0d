"""Kill a large push and pull five times on either side, and count the bytes that moved again when they resumed.

All bytes pass through a relay that counts them. First the client is killed, after each further sixth of the bytes, and
started again; then the daemon, which is restarted while the client waits.
"""

import argparse
import filecmp
import os
import signal
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.daemon import Daemon, large
from benchmarks.measuring import MIB, change, show, write_random
from tests.support.wire import proof_for

KILLS = 5
HEAD = 4096  # bytes that hold the head of a request


class Relay:
    """A relay whose address stays when the daemon's changes. It counts the bytes, and knows the daemon's token."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.carried = {"up": 0, "down": 0}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            port = int(self._daemon.url.rpartition(":")[2])
            daemon = socket.create_connection(("127.0.0.1", port))
        except (OSError, ValueError):
            client.close()
            return
        threading.Thread(target=self._carry, args=(daemon, client, "down", port), daemon=True).start()
        head = client.recv(HEAD)  # the client asks each connection for a proof, which names this relay
        client.sendall(proof_for(head, self.port, [self._daemon.token]) or b"")
        self._carry(client, daemon, "up", port)

    def _carry(self, source: socket.socket, target: socket.socket, way: str, port: int) -> None:
        # The daemon refuses any other address in Host.
        ours, its = f"Host: 127.0.0.1:{self.port}".encode(), f"Host: 127.0.0.1:{port}".encode()
        with suppress(OSError):
            while data := source.recv(256 * 1024):
                # Each chunk that follows a response begins with a head: the client does not pipeline.
                target.sendall(data[:HEAD].replace(ours, its) + data[HEAD:] if way == "up" else data)
                self.carried[way] += len(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=8192, help="size of the file (default: 8192)")
    size = parser.parse_args().mib * MIB
    rows = []
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text:
        folder = Path(text)
        write_random(folder / "source", size)
        with Daemon(folder) as daemon:
            for way, killed in (("push", "client"), ("pull", "client"), ("push", "daemon"), ("pull", "daemon")):
                if way == "push":
                    change(folder / "source")
                    daemon.forget_blobs()
                again = killed_five_times(daemon, size, way, killed)
                rows.append((way, killed, f"{KILLS}", f"{again / MIB:.1f}", f"{again / MIB / KILLS:.1f}"))
            if not filecmp.cmp(folder / "source", folder / "target", shallow=False):
                raise SystemExit("what was pulled differs from what was pushed")
    columns = ("", "killed", "times", "MiB moved again", "a kill")
    show(f"{large(size)}, killed and resumed", columns, rows)


def killed_five_times(daemon: Daemon, size: int, way: str, killed: str) -> int:
    """Return the bytes that were transferred beyond the file's own."""
    relay = Relay(daemon)
    carried = "up" if way == "push" else "down"
    target = daemon.folder / "target"
    words = ("push", "big", "source") if way == "push" else ("pull", "big", "-o", "target")
    if way == "pull":
        target.unlink(missing_ok=True)
    settings = {"OPSTORE_URL": f"http://127.0.0.1:{relay.port}", "OPSTORE_TOKEN": daemon.token}
    process = daemon.begin(*words, **settings)
    for number in range(1, KILLS + 1):
        while relay.carried[carried] < number * size // (KILLS + 1):
            if process.poll() is not None:
                raise SystemExit(f"the {way} ended with {process.returncode} before it could be killed")
            time.sleep(0.002)
        if killed == "client":
            process.kill()
            process.wait()
            process = daemon.begin(*words, **settings)
        else:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.do("start")
    if process.wait():
        raise SystemExit(f"the {way} ended with {process.returncode}")
    return relay.carried[carried] - size


if __name__ == "__main__":
    main()
