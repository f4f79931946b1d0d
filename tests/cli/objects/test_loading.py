"""Errors of loading: they have a reason, and come before the bytes are requested if possible."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.objects import formats
from opstore_daemon.protocol import errors


def test_a_version_without_a_format_says_so_and_is_loaded_with_one(client: OpStoreClient) -> None:
    client.push("metrics", b'{"f1": 0.9}')
    with pytest.raises(errors.FormatNeeded) as caught:
        client.load("metrics")
    assert caught.value.text == "metrics@1.0.0 needs a format: it was pushed as bytes, without a format"
    assert (
        "bytes, json, numpy, parquet, skops, safetensors, xgboost, lightgbm, onnx; joblib, pickle, cloudpickle"
        in caught.value.advice
    )
    assert client.load("metrics", format="json") == {"f1": 0.9}
    assert client.load("metrics", format="bytes") == b'{"f1": 0.9}'
    with pytest.raises(errors.UnknownFormat):
        client.load("metrics", format="keras")


def test_a_version_in_another_kind_of_format_is_refused(client: OpStoreClient) -> None:
    client.push("model", b"...", format="keras")
    with pytest.raises(errors.UnknownFormat, match="'keras' is not an object format") as caught:
        client.load("model")
    assert "pull" in caught.value.advice
    assert client.load("model", format="bytes") == b"..."


def test_a_registered_version_cannot_be_loaded(client: OpStoreClient) -> None:
    client.register("tokenizer", fields={"major": {"lower": "yes"}})
    for options in ({}, {"format": "json"}, {"allow_pickle": True}):
        with pytest.raises(errors.NotStored):
            client.load("tokenizer", **options)
    with pytest.raises(errors.OpNotFound):
        client.load("nowhere")
    with pytest.raises(errors.VersionNotFound):
        client.load("tokenizer@2")
    with pytest.raises(errors.InvalidReference):
        client.load("tokenizer@@")


def test_any_selector_picks_the_version_that_is_loaded(client: OpStoreClient) -> None:
    first = client.save("metrics", {"n": 1})
    client.save("metrics", {"n": 2}, bump="major")
    for selector in ("@1.0.0", "@1", f"@{first.digest}", "@<2"):
        assert client.load(f"metrics{selector}") == {"n": 1}
    assert client.load("metrics") == {"n": 2}


def test_a_file_of_another_format_is_refused_with_the_reason(client: OpStoreClient) -> None:
    for name in ("json", "numpy", "skops", "joblib", "pickle", "cloudpickle"):
        for number, data in enumerate([b"", b"{", b"\x93NUMPY", b"PK\x03\x04", b"\x80\x05.", b"\xff" * 100]):
            client.push(f"{name}{number}", data, format=name)
            with pytest.raises(errors.NotLoaded) as caught:
                client.load(f"{name}{number}", allow_pickle=True)
            assert caught.value.text.startswith(f"{name}{number}@1.0.0 can't be loaded as {name}: ")
            assert caught.value.__cause__ is not None
            assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"9" * 5000, "a number in it has more than 4300 digits"),
        (b"[" * 100_000 + b"]" * 100_000, "it is nested too deeply"),
    ],
)
def test_json_that_python_can_not_read_is_refused_in_our_words(client: OpStoreClient, data: bytes, reason: str) -> None:
    client.push("big", data, format="json")
    with pytest.raises(errors.NotLoaded) as caught:
        client.load("big")
    assert caught.value.text == f"big@1.0.0 can't be loaded as json: {reason}"


class Grumpy:
    """Says no, in its own words, when it is saved or loaded."""

    def __init__(self, when: str) -> None:
        self.when = when

    def __getstate__(self) -> Any:
        if self.when == "saved":
            raise RuntimeError("not me \x1b[31m")
        return self.__dict__

    def __setstate__(self, state: Any) -> None:
        raise KeyError("not here")


def test_an_exception_of_a_users_class_is_the_cause(client: OpStoreClient) -> None:
    with pytest.raises(errors.ObjectRefused) as refused:
        client.save("grumpy", Grumpy("saved"), format="pickle")
    assert refused.value.text.endswith(r"can't be saved as pickle: RuntimeError: not me \x1b[31m")
    assert isinstance(refused.value.__cause__, RuntimeError)
    assert client.ops() == []
    client.save("grumpy", Grumpy("loaded"), format="pickle")
    with pytest.raises(errors.NotLoaded, match="KeyError: 'not here'") as failed:
        client.load("grumpy", allow_pickle=True)
    assert isinstance(failed.value.__cause__, KeyError)


def test_errors_can_be_pickled(client: OpStoreClient) -> None:
    with pytest.raises(errors.FormatNeeded) as caught:
        client.save("model", object())
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - ours
    assert (again.text, again.advice) == (caught.value.text, caught.value.advice)


def test_no_temporary_file_is_left(client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    client.save("blob", bytes(2_000_000))
    client.load("blob")
    client.save("model", {"a": 1}, format="skops")
    for name in ("skops", "joblib", "cloudpickle"):
        with pytest.raises(errors.ObjectRefused):
            client.save("blob", (n for n in [1]), format=name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_reported(client: OpStoreClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.save("blob", bytes(200_000))
    client.settings = replace(client.settings, cache_size=0)
    monkeypatch.setattr(formats, "TemporaryFile", lambda: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115
    with pytest.raises(errors.OutputFailed, match="No space left"):
        client.save("blob", bytes(100_000))
    with pytest.raises(errors.OutputFailed, match="No space left"):
        client.load("blob")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_the_error_of_a_file_opened_by_descriptor_does_not_name_its_number(client: OpStoreClient) -> None:
    client.push("blob", bytes(10))
    with (
        os.fdopen(os.open("/dev/full", os.O_RDWR), "r+b", buffering=0) as full,
        pytest.raises(errors.OutputFailed, match=r"^the output can't be written"),
    ):
        client.pull("blob", to=full)
    with (
        os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb", buffering=0) as unreadable,
        pytest.raises(errors.FileRefused, match=r"^the file: "),
    ):
        client.push("blob", unreadable)


def test_a_missing_folder_for_temporary_files_is_reported(
    client: OpStoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.save("blob", b"a")
    client.settings = replace(client.settings, cache_size=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(errors.OutputFailed, match="nowhere can't be written: No such file or directory"):
        client.save("blob", b"b")
    with pytest.raises(errors.OutputFailed):
        client.load("blob")


@pytest.mark.skipif(sys.platform != "linux", reason="it reads what Linux says of a process")
@pytest.mark.slow
def test_an_array_is_not_in_memory_twice(client: OpStoreClient) -> None:
    script = """
import resource, sys
import numpy as np
from opstore_cli import OpStoreClient
client = OpStoreClient(sys.argv[1], token=sys.argv[2])
client.save("small", {"w": np.zeros(10)})
client.load("small")
big = {"w": np.ones(8 * 1024 * 1024)}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
client.save("big", big)
after_save = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
del big
assert client.load("big")["w"].sum() == 8 * 1024 * 1024
after_load = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
client.close()
print(after_save - before, after_load - after_save)
"""
    arguments = [client.target.url, str(client.target.token)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    saving, loading = map(int, done.stdout.split())
    assert saving < 32 * 1024  # KiB, of an array of 64 MiB
    assert loading < 32 * 1024
