"""A fault at each file-system call of each operation: the process is killed there, or the call fails once."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults import claims, operations, strace
from tests.faults.points import Fault
from tests.faults.runs import Outcome, Zygote, faults_of

NO_STRACE = strace.why_not()
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]
KILLS_EVERY = 11  # in `make test`
ERRORS_EVERY = 45  # every eleventh call, each with the next of the four errors


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


class Homes:
    """Copies of the home that an operation finds, and what a run without a fault does there."""

    def __init__(self, zygote: Zygote, folder: Path, name: str) -> None:
        self._zygote, self._folder, self._name = zygote, folder, name
        operations.make_home(name, folder / "made")
        with self.copy() as home:
            whole = zygote.run_with(name, home, None)
            assert (whole.words, whole.code) == (["done", "state"], 0), whole.said
            claims.check(home, finished=True)
        self.points, self.state = whole.points, whole.value("state")
        changes = [point for point in self.points if point.changes]
        seen, patched = operations.OPERATIONS[name].calls
        assert len(changes) >= (seen if zygote.traced else patched), list(map(str, changes))

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """Yield a copy, which is deleted at the end."""
        home = Path(shutil.copytree(self._folder / "made", self._folder / "home"))
        yield home
        shutil.rmtree(home)

    def run_with(self, home: Path, fault: Fault) -> Outcome:
        """Run the operation with the fault."""
        return self._zygote.run_with(self._name, home, fault)

    def check_start(self, home: Path) -> None:
        """Check the home as it was left, start, repeat the operation, and check it again."""
        claims.check(home, finished=False)
        again = self._zygote.run(self._name, home)
        assert (again.words, again.code) == (["done", "state"], 0), again.said
        assert again.value("state") == self.state
        claims.check(home, finished=True)


@contextmanager
def noted(fault: Fault) -> Iterator[None]:
    """Have a failure say at which call the fault was."""
    try:
        yield
    except AssertionError as failed:
        failed.add_note(str(fault))
        raise


@pytest.mark.parametrize("every", [KILLS_EVERY, pytest.param(1, marks=SLOW)])
@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_a_kill_at_each_call_loses_nothing_that_was_acknowledged(
    zygote: Zygote, tmp_path: Path, name: str, every: int
) -> None:
    """The process dies before the call; then the store opens, is whole, and the operation can be repeated."""
    homes = Homes(zygote, tmp_path, name)
    for fault in faults_of(homes.points, kill=True)[every // 2 :: every]:
        with homes.copy() as home, noted(fault):
            killed = homes.run_with(home, fault)
            assert (killed.words, killed.code) == ([], -9), killed.said
            homes.check_start(home)


@pytest.mark.parametrize("every", [ERRORS_EVERY, pytest.param(1, marks=SLOW)])
@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_each_call_may_fail_once(zygote: Zygote, tmp_path: Path, name: str, every: int) -> None:
    """The error is one of ours, the store is whole, and the operation works at once, without a start."""
    homes = Homes(zygote, tmp_path, name)
    for fault in faults_of(homes.points, kill=False)[every // 2 :: every]:
        with homes.copy() as home, noted(fault):
            failed = homes.run_with(home, fault)
            assert failed.struck
            assert failed.words in (["done", "state"], ["refused", "done", "state"]), failed.said
            assert failed.value("state") == homes.state
            if "refused" in failed.words:
                # The files of the client are no storage: that one of them can't be read is refused input.
                codes = (9,) if fault.point.is_of_store else (2, 9)
                assert failed.value("refused")[1] in codes, failed.said
            claims.check(home, finished=False)
            if claims.leftovers(home):
                homes.check_start(home)
