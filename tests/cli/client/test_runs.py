"""Recording runs from Python: a run that can't be sent is refused before anything is sent."""

from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.limits import MAX_OUTPUT
from tests.support.fake_daemon import TOKEN, FakeDaemon
from tests.support.new_run import new_run


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"command": ("python", "a\udc80.py")}, r"lone surrogate '\\udc80', which UTF-8 can't represent"),
        ({"reason": "\ud800"}, "lone surrogate"),
        ({"output": "x" * (MAX_OUTPUT + 1), "output_size": 1}, rf"at most {MAX_OUTPUT} characters - at `\$.output`"),
        ({"command": ()}, r"at `\$.command`"),
        ({"duration": float("inf")}, r"at `\$.duration`"),
        ({"exit_code": "0"}, r"at `\$.exit_code`"),
    ],
    ids=str,
)
def test_a_run_that_is_malformed_is_refused_before_it_is_sent(change: dict[str, Any], reason: str) -> None:
    with FakeDaemon() as silent, OpStoreClient(silent.url, token=TOKEN) as client:
        with pytest.raises(errors.InvalidRequest, match=reason):
            client.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0", **change))
        assert silent.log == []
