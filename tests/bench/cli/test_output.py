"""Output of every verb on streams that cannot encode every character, or that report no width."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import pytest

import bench
from bench import cli
from bench.cli.output import NARROWEST, PLAIN, prepare_output
from bench.cli.signals import interrupted_by_signals
from tests.bench import helpers
from tests.bench.helpers import Main, environment, write_grid

VERBS = (
    ("list",),
    ("doctor",),
    ("leaderboard", "out"),
    ("compare", "maml", "reptile", "--results", "out"),
    ("report", "out"),
    ("data", "list"),
    ("run", "mine.yaml", "--out", "out", "--dry-run"),
)
QUICK = tuple(verb for verb in VERBS if verb[0] in ("list", "leaderboard", "compare"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms with three seeds each, whose leaderboard has intervals."""
    folder = tmp_path_factory.mktemp("ran")
    grid = write_grid(folder / "mine.yaml", algorithms=["maml", "reptile"], seeds=[0, 1, 2])
    bench.run(grid, folder / "out", jobs=2)
    return folder


@pytest.fixture
def experiment(ran: Path, main: Main, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the experiment, in which the command is started."""
    monkeypatch.chdir(ran)
    return ran


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize(("encoding", "verbs"), [("ascii", VERBS), ("latin-1", QUICK)])
def test_every_verb_prints_in_any_encoding(
    main: Main, monkeypatch: pytest.MonkeyPatch, encoding: str, verbs: tuple[tuple[str, ...], ...]
) -> None:
    whole = {verb: main(*verb) for verb in verbs}
    assert "±" in whole["leaderboard", "out"][1]
    for verb in verbs:
        code, out, err = in_encoding(encoding, verb, monkeypatch)
        assert (code, err.count("Traceback")) == (whole[verb][0], 0)
        assert len(out) >= len(whole[verb][1].rstrip("\n")) * 0.9
    board = in_encoding(encoding, ("leaderboard", "out"), monkeypatch)[1]
    assert ("+-" if encoding == "ascii" else "±") in board


def in_encoding(encoding: str, verb: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """A verb in this process, printing to streams of that encoding: exit code, stdout, stderr."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        patch.setattr(sys, "argv", ["bench", *verb])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
    return (0 if ended.value.code is None else int(ended.value.code)), out, err


def test_the_real_command_prints_in_ascii_and_without_columns(experiment: Path) -> None:
    """As the environment asks for it, and so in the cells' processes."""
    changes = {"PYTHONIOENCODING": "ascii", "COLUMNS": "0"}
    grid = write_grid(experiment / "talks.yaml", algorithms=["talks"])
    arguments = ("run", grid, "--out", "talks", "--import", "failing_algorithms")
    done = helpers.bench(*arguments, cwd=experiment, env=environment(**changes))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "talks" in done.stdout


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize("columns", ["0", "00", "-3", "", "wide"])
def test_columns_that_are_none_count_as_not_given(main: Main, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    for verb in QUICK:
        monkeypatch.delenv("COLUMNS", raising=False)
        usual = main(*verb)
        monkeypatch.setenv("COLUMNS", columns)
        assert [len(part) for part in main(*verb)[1:]] == [len(part) for part in usual[1:]]
        assert usual[1]


def test_a_narrow_terminal_still_shows_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    prepare_output()
    assert int(os.environ["COLUMNS"]) == NARROWEST


def test_letters_that_an_encoding_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_output()
    print("".join(PLAIN), "é", "\ud800", end="")
    assert stream.buffer.getvalue().decode() == "".join(PLAIN.values()) + " \\xe9 \\ud800"  # type: ignore[attr-defined]
    utf8 = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", utf8)
    prepare_output()
    print("± é \ud800", end="")
    assert utf8.buffer.getvalue().decode() == "± é \\ud800"  # type: ignore[attr-defined]


def interrupted_twice(number: signal.Signals) -> None:
    """As a verb that is ended by a signal which comes twice."""
    with interrupted_by_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)
        sys.exit(130)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_interruption_once(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # it is ignored where the tests run under nohup
    try:
        with pytest.raises(SystemExit) as ended:
            interrupted_twice(number)
        assert ended.value.code == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupted_by_signals():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def ends_with_2() -> None:
    """As a verb that ends by itself."""
    with interrupted_by_signals():
        sys.exit(2)


def test_what_was_not_interrupted_ends_as_it_does() -> None:
    with pytest.raises(SystemExit) as ended:
        ends_with_2()
    assert ended.value.code == 2
