"""Decoding a type for the first time in several threads at once, which crashes the process with msgspec alone."""

import subprocess
import sys

SCRIPT = """
import inspect, sys, threading
import msgspec
from opstore_daemon.protocol import errors, records

sys.setswitchinterval(1e-6)
kinds = [each for each in vars(records).values() if inspect.isclass(each) and issubclass(each, msgspec.Struct)]
for kind in reversed(kinds):
    together = threading.Barrier(8)

    def read():
        together.wait()
        try:
            records.decode(b'{"op": "pca", "labels": {"a": "b"}, "versions": [{}], "ops": [{}], "links": [{}]}', kind)
        except errors.InvalidRequest:
            pass

    threads = [threading.Thread(target=read) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(len(kinds) > 40)
"""


def test_several_threads_can_decode_a_type_for_the_first_time_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-1000:]
