"""Decoding a type for the first time in several threads at once, which crashes the process with msgspec alone."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from opstore_daemon.protocol.records import wire

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


@pytest.mark.slow
def test_several_threads_can_decode_a_type_for_the_first_time_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-1000:]


def test_one_thread_at_a_time_creates_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash needs luck; the lock does not."""

    class Unseen(msgspec.Struct):
        pass

    create, locked = msgspec.json.Decoder, []

    def record(*arguments: Any, **options: Any) -> Any:
        locked.append(wire._DECODERS_LOCK.locked())
        return create(*arguments, **options)

    monkeypatch.setattr(msgspec.json, "Decoder", record)
    assert isinstance(wire.decoder(Unseen), create)
    assert locked == [True]
