"""How sessions are shown to people: times, positions, numbers, and what fits on a terminal."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stepwell.cli.checking import by_cause
from stepwell.models import Fault
from tests.cli.bench import Bench

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def over_midnight(bench: Bench) -> str:
    """A session with two steps before midnight and two behind it."""
    with bench.open() as client:
        session = client.create_session(key="INC-7").session_id
        invocation = client.create_invocation(session).invocation_id
        for minutes in (-2, -1, 1, 2):
            time = MIDNIGHT + timedelta(minutes=minutes)
            client.put_invocation_step(session, invocation, f"at {minutes}", invocation_step_time=time)
    return session


def on_terminal(bench: Bench, columns: int, *words: str) -> list[str]:
    """The lines that a terminal shows which is so wide."""
    shown = bench.run(*words, COLUMNS=str(columns), FORCE_COLOR="1", TERM="xterm").stdout
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()


@pytest.mark.parametrize("words", [["show"], ["tail", "--timeout", "0"]])
def test_a_date_is_shown_whenever_the_day_changes(bench: Bench, words: list[str]) -> None:
    over_midnight(bench)
    shown = bench.run(*words, "--key", "INC-7").stdout.splitlines()
    times = [found[0] for line in shown if (found := re.search(r"(?:\d{4}-\S+ )?\d\d:\d\d:\d\d\.000", line))]
    assert times == ["2026-03-01 23:58:00.000", "23:59:00.000", "2026-03-02 00:01:00.000", "00:02:00.000"]


def test_ids_come_with_the_positions_that_other_commands_take(bench: Bench) -> None:
    session = over_midnight(bench)
    with bench.open() as client:
        steps = list(client.steps(session))
    shown = bench.run("show", session, "--ids").stdout
    assert all(f" {step.position} {step.invocation_step_id} " in shown for step in steps)
    assert bench.run("fork", session, "--at", steps[1].position).exit_code == 0


@pytest.mark.parametrize(("last", "told"), [(5, ""), (4, "the 4 newest steps; "), (1, "the newest step; ")])
def test_older_steps_are_claimed_only_where_there_are_some(bench: Bench, last: int, told: str) -> None:
    bench.filled(steps=5)
    shown = bench.run("show", "--key", "INC-7", "--last", str(last)).stdout
    assert shown.count('"step') == last
    assert ("newest" in shown) == bool(told)
    assert told in shown


def test_one_of_a_thing_is_not_called_several(bench: Bench) -> None:
    bench.filled(steps=1)
    told = bench.run("verify", "--key", "INC-7").stdout + bench.run("salvage", "--key", "INC-7").stdout
    assert "1 step, 0 blobs are whole" in told
    assert "holds 1 step of" in told


@pytest.mark.parametrize("columns", [80, 100])
def test_ls_is_a_table_on_a_terminal_of_80_columns(bench: Bench, columns: int) -> None:
    session = bench.filled()
    heading, row = on_terminal(bench, columns, "ls")
    assert heading.split() == ["session", "status", "key", "updated", "(UTC)"]
    assert row.split()[:3] == [session, "ACTIVE", "INC-7"]
    bench.run("rm", session, "--end")
    assert "purged after (UTC)" in on_terminal(bench, columns, "ls", "--deleted")[0]
    assert "tags" in on_terminal(bench, 140, "ls", "--deleted")[0]


def test_a_long_key_folds_no_id_that_is_to_be_copied(bench: Bench) -> None:
    session = bench.filled("k" * 200, text="t" * 100)
    for columns in (80, 120):
        shown = on_terminal(bench, columns, "ls")
        assert shown[1].startswith(f"{session}  ACTIVE  kkkk")
        assert "".join(shown).count("k") - "".join(shown[:1]).count("k") == 200


@pytest.mark.parametrize("columns", [30, 50, 60, 80, 100, 130])
def test_bars_are_never_folded_and_texts_stay_readable(bench: Bench, columns: int) -> None:
    bench.filled(steps=2)
    shown = on_terminal(bench, columns, "show", "--key", "INC-7")
    assert max(map(len, shown)) <= columns
    assert all(line.count("|") in (0, 2) for line in shown)
    assert any(line.count("|") == 2 for line in shown) == (columns >= 50)
    assert '"step 1"' in " ".join("".join(shown).replace("│", "").split())


def test_faults_of_one_place_have_one_cause() -> None:
    hole = Fault(reason="there is no record at bytes 0 to 9", place=0)
    missed = Fault(reason="slot 3 is missing", slot=3, place=10)
    stops = Fault(reason="reading stops", slot=3)
    other = Fault(reason="damaged", slot=7, place=70)
    also = Fault(reason="reading stops", place=70)
    nameless = Fault(reason="100 more")
    assert by_cause([hole, missed, stops, other, also, nameless]) == [[hole, missed, stops], [other, also], [nameless]]
