"""What the demo accepts as shown, and how it shows it."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from stepwell.cli.demo.outcome import KILLED, Engineer, Outcome, shortened
from stepwell.cli.demo.place import Place
from stepwell.cli.demo.reports import Acknowledged, Refused, digest
from stepwell.cli.demo.show import Spinner, show
from stepwell.cli.terminal import printable
from stepwell.models import Image, InvocationStep, Position, Text

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = "\x1b]0;owned\x07[bold red]name[/] :boom: \u202e\r\n\x9b31m"


def step(name: str, invocation: str, *content: Text | Image) -> InvocationStep:
    """A step that was read."""
    return InvocationStep(
        session_id="s",
        invocation_id=invocation,
        invocation_step_id=name,
        invocation_step_time=NOON,
        content=content or (Text(text=f"step {name}"),),
        slot=3,
        position=Position("p"),
    )


MEASURED = step("m", "first", Text(text="plot"), Image(format="png", data=b"picture"))
WATCHED = step("w", "second")
RESOLVED = step("r", "third")


def acknowledged(*steps: InvocationStep) -> tuple[Acknowledged, ...]:
    """The reports of these steps' writes."""
    return tuple(Acknowledged(step.invocation_step_id, digest(step.content)) for step in steps)


GOOD = Outcome(
    session_id="s",
    status="ENDED",
    engineers=(
        Engineer(1, 11, "first", 0, acknowledged(MEASURED)),
        Engineer(2, 12, "second", KILLED, acknowledged(WATCHED), frozenset({"x"})),
        Engineer(3, 13, "third", 0, acknowledged(RESOLVED)),
    ),
    killed_at=NOON,
    read_back={"m": digest(MEASURED.content), "w": digest(WATCHED.content)},
    refused=Refused("SessionEnded", "it was ended", NOON),
    steps=(MEASURED, WATCHED, RESOLVED),
    ended_at=NOON,
)


def with_engineer(number: int, **changes: Any) -> Outcome:
    """`GOOD`, one engineer of it changed."""
    engineers = list(GOOD.engineers)
    engineers[number - 1] = replace(engineers[number - 1], **changes)
    return replace(GOOD, engineers=tuple(engineers))


def test_nothing_is_wrong_when_all_was_read_back() -> None:
    assert GOOD.failures == []


def test_a_write_in_flight_may_be_there() -> None:
    there = replace(GOOD, read_back={**GOOD.read_back, "x": "any"}, steps=(*GOOD.steps, step("x", "second")))
    assert there.failures == []


@pytest.mark.parametrize(
    ("outcome", "failure"),
    [
        (
            replace(GOOD, read_back={"m": digest(MEASURED.content)}),
            "1 acknowledged steps were not read back as written",
        ),
        (
            replace(GOOD, read_back={**GOOD.read_back, "w": "other"}),
            "1 acknowledged steps were not read back as written",
        ),
        (replace(GOOD, read_back={**GOOD.read_back, "y": "any"}), "a step was read that nobody wrote"),
        (replace(GOOD, steps=(*GOOD.steps, WATCHED)), "a step is there twice"),
        (replace(GOOD, steps=(MEASURED, WATCHED)), "a step of engineer 3 is missing"),
        (replace(GOOD, steps=(WATCHED, RESOLVED)), "the session holds no picture"),
        (replace(GOOD, status="ACTIVE"), "the session is ACTIVE, not ENDED"),
        (replace(GOOD, refused=None), "the write after the end was not refused"),
        (replace(GOOD, refused=Refused("Fenced", "", NOON)), "the write after the end was not refused"),
        (with_engineer(2, exit_code=0), "engineer 2 was not killed by SIGKILL"),
        (with_engineer(2, in_flight=frozenset()), "engineer 2 was not killed in the middle of a write"),
        (with_engineer(3, pid=11), "the three engineers are not three processes"),
        (with_engineer(1, acknowledged=()), "engineer 1 or 2 wrote nothing"),
    ],
)
def test_whatever_is_wrong_is_named(outcome: Outcome, failure: str) -> None:
    assert failure in outcome.failures


def test_a_long_timeline_loses_its_middle_and_says_how_much() -> None:
    many = replace(GOOD, steps=(MEASURED, *(step(str(i), "second") for i in range(20)), RESOLVED))
    rows = shortened(many.timeline, 6)
    assert [row if isinstance(row, int) else row.engineer for row in rows] == [1, 2, 2, 2, 15, 2, 2, 2, 3, 3, 3]
    assert GOOD.timeline == shortened(GOOD.timeline, 6)


@pytest.mark.parametrize("terminal", [True, False])
def test_stored_text_reaches_the_terminal_as_it_was_written_and_no_other_way(terminal: bool) -> None:
    hostile = replace(GOOD, steps=(step("m", "first", Text(text=HOSTILE)), WATCHED, RESOLVED))
    where = Place(f"file:{HOSTILE}", "INC-1", ())
    file = StringIO()
    show(hostile, where, None, Console(file=file, force_terminal=terminal, color_system="truecolor", width=200))
    shown = file.getvalue()
    for harm in ("\x1b]", "\x07", "\u202e", "\r", "\x9b", "\x1b[1;31mname"):
        assert harm not in shown
    for kept in ("\\x1b]0;owned\\x07", "[bold red]name[/] :boom: \\u202e"):
        assert kept in shown


def test_progress_shows_hostile_words_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    with Spinner() as progress:
        progress.says(1, HOSTILE)
        progress.counts(1, 3)
    shown = capsys.readouterr().err
    assert not set(shown) & {"\x1b", "\x07", "\r", "\u202e", "\x9b"}
    assert "[bold red]name[/] :boom:" in shown


def test_what_failed_is_printed() -> None:
    file = StringIO()
    show(replace(GOOD, status="ACTIVE"), Place("file:x", "INC-1", ()), None, Console(file=file, width=100))
    assert "FAILED: the session is ACTIVE, not ENDED" in file.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [text] é 日本", "plain [text] é 日本"),
        ("\x1b[31m\n\t\x7f\x9b", "\\x1b[31m\\n\\t\\x7f\\x9b"),
        ("\u202e\u2066\u200b\ud800\U000e0001", "\\u202e\\u2066\\u200b\\ud800\\U000e0001"),
    ],
)
def test_printable_text_holds_nothing_that_a_terminal_acts_on(text: str, shown: str) -> None:
    assert shown == printable(text)
