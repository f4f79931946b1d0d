"""The conformance tests are tested: each saver that is broken on purpose has to fail them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from opstore_daemon.savers import BaseSaver, FileSaver, MemorySaver
from opstore_daemon.savers.conformance import SaverConformance
from tests.daemon.savers import broken_blobs, broken_collection, broken_drafts
from tests.daemon.savers.joined import FileSaverJoins, MemorySaverJoins
from tests.support.figures import few

SABOTEURS = broken_drafts.SABOTEURS | broken_blobs.SABOTEURS | broken_collection.SABOTEURS
TESTS = sorted(name for name in dir(SaverConformance) if name.startswith("test_"))


def joined(saver: type[BaseSaver], root: Path) -> SaverConformance:
    """Return the conformance tests for the saver."""
    if not issubclass(saver, FileSaver):

        class Memory(MemorySaverJoins):
            def make_saver(self) -> BaseSaver:
                return saver()

        return Memory()

    class File(FileSaverJoins):
        def make_saver(self) -> BaseSaver:
            return saver(self.root)  # type: ignore[call-arg]

    suite = File()
    suite.root = root
    return suite


@cache
def passes(saver: type[BaseSaver], name: str) -> bool:
    with TemporaryDirectory() as root:
        suite = joined(saver, Path(root) / "store")
        try:
            instance = suite.make_saver()
            getattr(suite, name)(instance)
            suite.check_leftovers(instance)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - a saver may be broken in any way
            return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("saver", [FileSaver, MemorySaver])
def test_a_working_saver_passes(saver: type[BaseSaver]) -> None:
    assert [name for name in TESTS if not passes(saver, name)] == []


@pytest.mark.parametrize("saver", few(8, SABOTEURS), ids=lambda saver: saver.__name__)
def test_a_broken_saver_fails_where_it_is_broken(saver: type[BaseSaver]) -> None:
    assert not passes(saver, SABOTEURS[saver])
    assert any(passes(saver, name) for name in TESTS), "it does not work at all, which proves nothing"


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_each_test_of_the_suite_is_failed_by_a_broken_saver(step: int) -> None:
    for name in TESTS:
        savers = sorted(SABOTEURS, key=lambda saver: SABOTEURS[saver] != name)  # those that are broken there come first
        assert any(not passes(saver, name) and is_telling(saver, each) for each in (step, 1) for saver in savers), name


def is_telling(saver: type[BaseSaver], step: int) -> bool:
    """Return whether the saver passes most tests, of which every `step`-th is taken.

    One that fails nearly everywhere, by what it leaves behind, says nothing of a single test.
    """
    taken = TESTS[::step]
    return sum(passes(saver, name) for name in taken) > len(taken) / 2
