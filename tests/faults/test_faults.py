"""A fault at each file-system call of each operation: the process is killed there, or the call fails once."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults import operations, strace
from tests.faults.points import Fault
from tests.faults.runs import Outcome, Zygote, faults_of

NO_STRACE = strace.why_not()
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]
FAST = ("push upload", "gc")  # the operations that `make test` takes
# Of each of them every eleventh call, each with the next of the four errors, and no more than these of an operation.
KILLS_EVERY, ERRORS_EVERY, AT_MOST = 11, 45, 2


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("strace", marks=[pytest.mark.skipif(NO_STRACE is not None, reason=str(NO_STRACE))]),
        pytest.param("patches", marks=[] if NO_STRACE is not None else SLOW),
    ],
)
def zygote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Faults by strace, or by patches where there is none; `make test-all` has both."""
    with closing(Zygote(tmp_path_factory.mktemp("zygote"), traced=request.param == "strace")) as opened:
        yield opened


class Folders:
    """Copies of what an operation finds, and what a run without a fault does there."""

    def __init__(self, zygote: Zygote, scratch: Path, name: str) -> None:
        self._zygote, self._scratch, self._name = zygote, scratch, name
        self.operation = operations.OPERATIONS[name]
        operations.make(name, scratch / "made")
        with self.copy() as root:
            whole = zygote.run_with(name, root, None)
            assert (whole.words, whole.code) == (["done", "state"], 0), whole.said
            self.check_finished(root)
        self.points, self.state = whole.points, whole.value("state")
        changes = [str(point) for point in self.points if point.changes]
        assert len(changes) >= self.operation.calls[0 if zygote.traced else 1], changes

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """Yield a copy, which is deleted at the end."""
        root = Path(shutil.copytree(self._scratch / "made", self._scratch / "run"))
        try:
            yield root
        finally:
            shutil.rmtree(root)

    def run_with(self, root: Path, fault: Fault) -> Outcome:
        """Run the operation with the fault."""
        return self._zygote.run_with(self._name, root, fault)

    def check_finished(self, root: Path) -> None:
        """Check that everything is whole, and that nothing is left to be cleaned up."""
        self.operation.check(root)
        assert not (left := self.operation.leftovers(root)), left

    def check_repeats(self, root: Path) -> None:
        """Check what was left, start, repeat the operation, and check it again."""
        self.operation.check(root)
        again = self._zygote.run(self._name, root)
        assert (again.words, again.code) == (["done", "state"], 0), again.said
        assert again.value("state") == self.state
        self.check_finished(root)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name in FAST else SLOW) for name in operations.OPERATIONS],
)
def folders(request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The folders of each operation, for all tests."""
    return Folders(zygote, tmp_path_factory.mktemp("operation"), request.param)


@contextmanager
def noted(fault: Fault) -> Iterator[None]:
    """Have a failure say at which call the fault was."""
    try:
        yield
    except AssertionError as failed:
        failed.add_note(str(fault))
        raise


def check_kill(folders: Folders, root: Path, fault: Fault) -> None:
    """Check that nothing was acknowledged, and that the operation can be repeated after a start."""
    killed = folders.run_with(root, fault)
    assert (killed.words, killed.code) == ([], -9), killed.said
    folders.check_repeats(root)


def check_error(folders: Folders, root: Path, fault: Fault) -> Outcome:
    """Check that the error is one of ours, and that the operation works afterwards without a start."""
    failed = folders.run_with(root, fault)
    assert failed.struck
    assert failed.words in (["done", "state"], ["refused", "done", "state"]), failed.said
    assert failed.value("state") == folders.state
    if "refused" in failed.words:
        # The files of the client are no storage: that one of them can't be read is refused input.
        codes = folders.operation.codes if fault.point.is_of_store else (2, *folders.operation.codes)
        assert failed.value("refused")[1] in codes, failed.said
    folders.operation.check(root)
    if folders.operation.leftovers(root):
        folders.check_repeats(root)
    return failed


def chosen(faults: list[Fault], every: int) -> list[Fault]:
    """Return all faults if `every` is 1, else some that are spread over the operation."""
    step = 1 if every == 1 else max(every, len(faults) // AT_MOST | 1)  # odd: each error has its turns
    return faults[step // 2 :: step]


@pytest.mark.parametrize("every", [KILLS_EVERY, pytest.param(1, marks=SLOW)])
def test_a_kill_at_each_call_loses_nothing_that_was_acknowledged(folders: Folders, every: int) -> None:
    """The process dies before the call; then everything is whole, and the operation can be repeated."""
    for fault in chosen(faults_of(folders.points, kill=True), every):
        with folders.copy() as root, noted(fault):
            check_kill(folders, root, fault)


@pytest.mark.parametrize("every", [ERRORS_EVERY, pytest.param(1, marks=SLOW)])
def test_each_call_may_fail_once(folders: Folders, every: int) -> None:
    """The error is one of ours, everything is whole, and the operation works at once, without a start."""
    for fault in chosen(faults_of(folders.points, kill=False), every):
        with folders.copy() as root, noted(fault):
            check_error(folders, root, fault)
