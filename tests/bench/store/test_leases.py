"""Leases: one run at a time has a cell, whoever dies, and whatever clocks and file times say."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.execution.local import _context as cell_context
from bench.process.identity import Identity, own_identity
from bench.store import leases as leases_module
from bench.store.atomic import CannotWrite
from bench.store.leases import Leases
from tests.bench.store.lease_takers import take_all, take_and_die

FORKSERVER = cell_context()
ELSEWHERE = Identity("elsewhere", 1, "another machine", "1")


class Clock:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def mine(cells: Path, clock: Clock, stack: ExitStack) -> Leases:
    """Leases of this process, which judges others by ``clock``."""
    return stack.enter_context(Leases(cells, beat=1000, expiry=60, clock=clock))


@pytest.fixture
def theirs(cells: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> Leases:
    """Leases of a process on another machine, whose death cannot be seen from here."""
    with monkeypatch.context() as patch:
        patch.setattr(leases_module, "own_identity", lambda: ELSEWHERE)
        return stack.enter_context(Leases(cells, beat=1000))


def files(cells: Path) -> list[str]:
    return sorted(path.name for path in (cells / ".leases").iterdir())


def test_one_run_at_a_time_has_a_cell(cells: Path, mine: Leases, theirs: Leases) -> None:
    assert mine.acquire("a")
    assert not theirs.acquire("a")
    assert not mine.acquire("a")
    assert theirs.acquire("b")
    assert (mine.holds("a"), theirs.holds("a"), mine.holds("b"), theirs.holds("b")) == (True, False, False, True)
    assert mine.owner("b") == "elsewhere, process 1"
    mine.release("a")
    assert theirs.acquire("a")
    assert not mine.holds("a")
    mine.release("a")  # it is not this run's any more: nothing happens
    assert theirs.holds("a")
    assert files(cells) == ["a", "b"]


def test_file_systems_without_links_will_do(
    cells: Path, mine: Leases, theirs: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    assert mine.acquire("a")
    assert not theirs.acquire("a")
    mine.beat()
    assert mine.holds("a")
    assert files(cells) == ["a"]
    assert theirs.owner("a") == mine.owner("a") != ""
    mine.release("a")
    assert theirs.acquire("a")


def test_an_answer_that_was_lost_on_the_network_is_found_out(mine: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link was made, and the second asking is told that it is there."""
    link = os.link

    def twice(*arguments: Path) -> None:
        link(*arguments)
        link(*arguments)

    monkeypatch.setattr(os, "link", twice)
    assert mine.acquire("a")
    assert mine.holds("a")


def test_leaving_gives_everything_back(cells: Path) -> None:
    with Leases(cells) as leases:
        assert leases.acquire("a")
        assert leases.acquire("b")
    assert files(cells) == []


def test_a_run_that_gives_signs_of_life_keeps_its_cells_however_long(
    mine: Leases, theirs: Leases, clock: Clock
) -> None:
    assert theirs.acquire("a")
    for _ in range(10):
        assert not mine.acquire("a")
        clock.now += 50
        theirs.beat()
    assert theirs.holds("a")


def test_a_run_without_a_sign_of_life_loses_its_cells(cells: Path, mine: Leases, theirs: Leases, clock: Clock) -> None:
    assert theirs.acquire("a")
    theirs.beat()
    assert not mine.acquire("a")
    clock.now += 60
    assert not mine.acquire("a")
    clock.now += 1
    assert mine.acquire("a")
    assert mine.holds("a")
    assert not theirs.holds("a")
    theirs.beat()  # it wakes up: nothing of the new lease is touched
    theirs.release("a")
    assert mine.holds("a")
    assert not theirs.acquire("a")
    assert files(cells) == ["a"]


@pytest.mark.parametrize("when", [0, 1, 2**31, 2**33])
def test_the_times_of_files_do_not_count(cells: Path, mine: Leases, theirs: Leases, clock: Clock, when: int) -> None:
    assert theirs.acquire("a")
    for _ in range(3):
        os.utime(cells / ".leases/a", (when, when))
        assert not mine.acquire("a")
        clock.now += 50
        theirs.beat()
    os.utime(cells / ".leases/a", (when, when))
    assert not mine.acquire("a")
    clock.now += 61
    assert mine.acquire("a")


def test_a_lease_that_nobody_finished_writing_expires_too(cells: Path, mine: Leases, clock: Clock) -> None:
    for name, content in {"empty": "", "cut": "00000000000000000000{", "other": "00000000000000000000[1]"}.items():
        (cells / ".leases" / name).write_text(content)
        assert not mine.acquire(name)
        assert mine.owner(name) == ""
    clock.now += 61
    for name in ("empty", "cut", "other"):
        assert mine.acquire(name)


def test_of_two_that_take_over_at_once_one_has_it(
    cells: Path, mine: Leases, theirs: Leases, clock: Clock, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quicker one has its new lease before the other one removes what it takes for the old one."""
    quicker = stack.enter_context(Leases(cells, beat=1000, expiry=60, clock=clock))
    assert theirs.acquire("a")
    assert not mine.acquire("a")
    assert not quicker.acquire("a")
    clock.now += 61
    is_stale, came = Leases._is_stale, list[bool]()

    def interfering(leases: Leases, name: str, content: bytes) -> bool:
        if leases is mine and not came:
            came.append(quicker.acquire("a"))
        return is_stale(leases, name, content)

    monkeypatch.setattr(Leases, "_is_stale", interfering)
    assert not mine.acquire("a")
    assert came == [True]
    assert (mine.holds("a"), quicker.holds("a"), theirs.holds("a")) == (False, True, False)
    assert files(cells) == ["a"]


def test_one_that_died_taking_over_is_taken_over_from(
    cells: Path, mine: Leases, theirs: Leases, clock: Clock, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert theirs.acquire("a")
    with monkeypatch.context() as patch:
        patch.setattr(leases_module, "own_identity", lambda: replace(ELSEWHERE, pid=2))
        dying = stack.enter_context(Leases(cells, beat=1000, expiry=60, clock=clock))
    assert not dying.acquire("a")
    clock.now += 61
    with monkeypatch.context() as patch:
        patch.setattr(Leases, "_read", dying_when_read_again("a"))
        patch.setattr(Leases, "release", lambda leases, name: None)
        with pytest.raises(KeyboardInterrupt):
            dying.acquire("a")
    assert len(files(cells)) == 2
    assert not mine.acquire("a")
    clock.now += 61
    assert not mine.acquire("a")  # whose turn it was is dead too, as is seen from now on
    clock.now += 61
    assert mine.acquire("a")
    assert files(cells) == ["a"]


def dying_when_read_again(name: str) -> Callable[[Leases, str], bytes | None]:
    read, seen = Leases._read, list[str]()

    def reading(leases: Leases, asked: str) -> bytes | None:
        seen.append(asked)
        if seen.count(name) == 2:
            raise KeyboardInterrupt
        return read(leases, asked)

    return reading


def test_what_dead_runs_left_is_removed(cells: Path, theirs: Leases) -> None:
    assert theirs.acquire("theirs")
    process = FORKSERVER.Process(target=take_and_die, args=(cells, ["a", "b"]))
    process.start()
    process.join()
    with Leases(cells):
        assert files(cells) == ["theirs"]


def test_a_dead_process_of_this_machine_loses_its_cells_at_once(cells: Path, mine: Leases) -> None:
    """Even before its parent has taken note of its death."""
    names = ["a", "b"]
    process = FORKSERVER.Process(target=take_and_die, args=(cells, names))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert files(cells) == names
    for name in names:
        assert mine.acquire(name)


def test_a_process_number_that_was_used_again_is_another_process() -> None:
    me = own_identity()
    assert not me.is_dead()
    assert replace(me, started=str(int(me.started) - 1)).is_dead()
    assert replace(me, pid=2**22 + 1).is_dead()
    for unseen in (replace(me, scope="another machine", pid=2**22 + 1), replace(me, scope="", pid=2**22 + 1)):
        assert not unseen.is_dead()


@pytest.mark.parametrize("before", ["free", "dead"])
def test_of_many_processes_one_gets_each_cell(cells: Path, before: str) -> None:
    names = [f"cell-{number}" for number in range(40)]
    if before == "dead":
        process = FORKSERVER.Process(target=take_and_die, args=(cells, names))
        process.start()
        process.join()
    go, done, taken = FORKSERVER.Event(), FORKSERVER.Event(), FORKSERVER.Queue()
    processes = [FORKSERVER.Process(target=take_all, args=(cells, names, go, done, taken)) for _ in range(4)]
    for process in processes:
        process.start()
    go.set()
    got = [name for _ in processes for name in taken.get(timeout=300)]
    done.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(got) == sorted(names)
    assert files(cells) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/cells").write_text("no folder")
    with (
        pytest.raises(CannotWrite, match=r"cannot write results to .*: Not a directory"),
        Leases(tmp_path / "out/cells"),
    ):
        pass
