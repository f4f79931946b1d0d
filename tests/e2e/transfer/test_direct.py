"""A push past the daemon that is interrupted, while its daemon is killed: the same command resumes it."""

import signal

import pytest

from tests.support.fault_proxy import Fault, HttpProxy, first
from tests.support.machines import MIB, Machine
from tests.support.object_store import Bucket
from tests.support.random_bytes import random_bytes
from tests.support.waiting import wait_for

PARTS = 5  # of 8 MiB


@pytest.mark.slow
def test_after_ctrl_c_and_a_killed_daemon_the_same_command_sends_only_what_did_not_arrive(
    machine: Machine, bucket: Bucket
) -> None:
    data = random_bytes(PARTS * 8 * MIB - 5)
    (machine.cwd / "big").write_bytes(data)
    with HttpProxy(int(bucket.endpoint.rpartition(":")[2])) as proxy:
        saver = ("--saver", bucket.url, "--direct", proxy.url)
        proxy.fault_for = first(1, Fault("delay", seconds=600), "PUT .*partNumber=3&")
        with machine.serving(*saver, env=bucket.environ):
            process = machine.begin("push", "pca", "big")
            wait_for(lambda: stored_parts(bucket) == PARTS - 1, "the other parts")
            process.send_signal(signal.SIGINT)
            said = b"error: interrupted\nhint: resume it with: opstore push pca big\n"
            assert (process.communicate(timeout=60)[1], process.returncode) == (said, 130)
            machine.kill()
            machine.runtime_file.unlink()
        proxy.requests.clear()
        with machine.serving(*saver, env=bucket.environ):
            assert machine.do("push", "pca", "big") == "pca@1.0.0"
            assert sum(request.method == "PUT" for request in proxy.requests) == PARTS - 2
            machine.do("pull", "pca", "-o", "pulled")
        assert (machine.cwd / "pulled").read_bytes() == data


def stored_parts(bucket: Bucket) -> int:
    """Return how many parts of unfinished uploads the object store has."""
    s3 = bucket.client()
    uploads = s3.list_multipart_uploads(Bucket=bucket.name, Prefix=bucket.prefix).get("Uploads", [])
    found = [s3.list_parts(Bucket=bucket.name, Key=each["Key"], UploadId=each["UploadId"]) for each in uploads]
    return sum(len(each.get("Parts", [])) for each in found)
