"""Each command on a store: what it does, prints, and ends with."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import stepwell
from stepwell.cli import exits
from stepwell.cli.show import sparkline
from stepwell.sync import Client
from tests.cli.bench import HARM, HOSTILE, NOWHERE, Bench, error_of, lines


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_version_is_printed(bench: Bench) -> None:
    assert (bench.run("--version").exit_code, bench.run("--version").stdout) == (
        0,
        f"stepwell {stepwell.__version__}\n",
    )


def test_help_lists_the_commands_and_the_exit_codes(bench: Bench) -> None:
    told = " ".join(bench.run("--help", COLUMNS="100").stdout.split())
    store = ("verify", "salvage", "gc", "audit", "provision", "iam-policy", "demo")
    for command in ("ls", "show", "tail", "fork", "rm", "undelete", "redact", *store):
        assert f" {command} " in told
    assert "4 damage found" in told


# ls


def test_ls_prints_sessions_newest_first_as_tab_separated_lines(bench: Bench) -> None:
    ids = [bench.filled("INC-1"), bench.filled("INC-2")]
    rows = [line.split("\t") for line in bench.run("ls").stdout.splitlines()]
    assert [(ids[1], "ACTIVE", "INC-2"), (ids[0], "ACTIVE", "INC-1")] == [tuple(row[:3]) for row in rows]


def test_ls_as_json_has_the_names_of_the_models(bench: Bench) -> None:
    bench.filled("INC-1")
    with bench.open() as client:
        expected = [session.model_dump(mode="json") for session in client.sessions()]
    assert expected == lines(bench.run("ls", "--json"))


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--status", "ENDED"], ["B"]),
        (["--tag", "team=a"], ["A"]),
        (["--key-prefix", "B"], ["B"]),
        (["--since", "1d"], ["B", "A"]),
        (["--since", "2999-01-01"], []),
        (["--limit", "1"], ["B"]),
        (["--deleted"], []),
        (["--tenant", "other"], []),
    ],
)
def test_ls_shows_what_is_asked_for(bench: Bench, options: list[str], keys: list[str]) -> None:
    bench.filled("A", text="a")
    ended = bench.filled("B", text="b")
    with bench.open() as client:
        client.end_session(ended)
    assert keys == [row["key"] for row in lines(bench.run("ls", "--json", *options))]


@pytest.mark.parametrize("columns", [20, 50, 200])
def test_a_terminal_of_any_width_shows_every_character_and_no_line_is_wider(bench: Bench, columns: int) -> None:
    session = bench.filled("INC-7", text="a-team-of-some-length")
    for words in (["ls"], ["show", session, "--ids"]):
        shown = looked_at(bench, columns, *words)
        assert max(map(len, shown.splitlines())) <= columns
        assert "INC-7" in shown
    assert "".join(looked_at(bench, columns, "ls").split()).count(session) == 1


def looked_at(bench: Bench, columns: int, *words: str) -> str:
    """What a terminal shows that is so wide."""
    shown = bench.run(*words, COLUMNS=str(columns), FORCE_COLOR="1", TERM="xterm").stdout
    assert "\x1b[" in shown
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


# show and tail


def test_show_draws_invocations_and_steps(bench: Bench) -> None:
    session = bench.filled(invocations=2)
    shown = bench.run("show", "--key", "INC-7").stdout
    assert shown.startswith(f"INC-7  ACTIVE\n{session}\n")
    assert shown.count("3 steps, 42 B") == 2
    assert shown.count('6 B "step 0"  [png 6 B]  [application/octet-stream 2 B]') == 2
    assert "├── " in shown


def test_show_accepts_the_arn_and_shows_ids_on_request(bench: Bench) -> None:
    session = bench.filled()
    with bench.open() as client:
        arn, steps = client.get_session(session).session_arn, list(client.steps(session))
    shown = bench.run("show", arn, "--ids").stdout
    assert all(step.invocation_step_id in shown for step in steps)
    assert steps[0].invocation_step_id not in bench.run("show", arn).stdout


def test_show_of_a_long_session_shows_the_newest_and_says_so(bench: Bench) -> None:
    bench.filled(steps=5)
    shown = bench.run("show", "--key", "INC-7", "--last", "2").stdout
    assert [f"step {number}" in shown for number in range(5)] == [False, False, False, True, True]
    assert "--all" in shown
    assert bench.run("show", "--key", "INC-7", "--all").stdout.count('"step') == 5


@pytest.mark.parametrize("content", [True, False])
def test_show_as_json_is_the_whole_session(bench: Bench, content: bool) -> None:
    session = bench.filled(steps=2)
    document = json.loads(bench.run("show", session, "--json", *(["--content"] if content else [])).stdout)
    with bench.open() as client:
        found, steps = client.get_session(session), list(client.steps(session))
    assert found.model_dump(mode="json") == document["session"]
    assert [one["invocation_id"] for one in document["invocations"]] == [steps[0].invocation_id]
    assert [step.position for step in steps] == [step["position"] for step in document["steps"]]
    data: dict[str, Any] = {"data": base64.b64encode(b"pixels").decode()} if content else {}
    text, image, _ = document["steps"][1]["content"]
    assert text == {"type": "text", "text": "step 1"}
    assert image == {"type": "image", "format": "png", "size": 6} | data


def test_tail_goes_on_behind_a_position(bench: Bench) -> None:
    session = bench.filled()
    first = lines(bench.run("tail", session, "--json", "--timeout", "0", "--last", "2"))
    assert [step["content"][0]["text"] for step in first] == ["step 1", "step 2"]
    rest = lines(bench.run("tail", session, "--json", "--timeout", "0", "--after", first[0]["position"]))
    assert first[1:] == rest


def test_tail_of_an_ended_session_ends(bench: Bench) -> None:
    session = bench.filled()
    with bench.open() as client:
        client.end_session(session)
    done = bench.run("tail", session)
    assert (done.exit_code, done.stdout.count("\n")) == (0, 3)


@pytest.mark.parametrize(("ascii_only", "bars"), [(True, "@"), (False, "█")])
def test_a_sparkline_has_a_bar_wherever_a_step_is(ascii_only: bool, bars: str) -> None:
    with Client("memory:") as client:
        at = client.create_session().created_at
    late = at.replace(year=at.year + 1)
    assert bars + " " * 22 + bars == sparkline([at, late], (at, late), ascii_only=ascii_only)
    assert bars + " " * 23 == sparkline([at], (at, at), ascii_only=ascii_only)


# rm, undelete, redact, fork


def test_rm_keeps_for_thirty_days_and_prints_the_command_that_brings_it_back(bench: Bench) -> None:
    session = bench.filled()
    done = bench.run("rm", "--key", "INC-7", "--end", "--reason", "tidy", "--approver", "me")
    assert done.exit_code == 0
    assert f"  stepwell undelete {session}\n" in done.stdout
    (listed,) = lines(bench.run("ls", "--deleted", "--json"))
    (record,) = lines(bench.run("audit", session, "--json"))
    assert (record["reason"], record["approver"], record["until"]) == ("tidy", "me", listed["purge_after"])
    assert record["until"][:10] > record["time"][:10]
    assert bench.run("undelete", "--key", "INC-7").stdout == f"{session} is there, ENDED\n"
    assert bench.run("show", "--key", "INC-7").exit_code == 0


def test_what_brings_it_back_names_the_store_and_tenant_that_were_given(bench: Bench) -> None:
    session = bench.filled()
    done = bench.run("rm", session, "--end", "--url", bench.url, "--tenant", "default", "--json")
    (told,) = lines(done)
    assert told["undelete"] == f"stepwell undelete {session} --url {bench.url} --tenant default"


def test_rm_for_good_needs_a_yes(bench: Bench) -> None:
    session = bench.filled()
    refused = bench.run("rm", session, "--end", "--now")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert bench.run("show", session).exit_code == 0
    assert bench.run("rm", session, "--end", "--now", "--yes").exit_code == 0
    assert bench.run("undelete", session).exit_code == exits.NOT_FOUND


def test_a_deleted_session_is_deleted_for_good_by_its_key(bench: Bench) -> None:
    bench.filled()
    bench.run("rm", "--key", "INC-7", "--end")
    assert bench.run("rm", "--key", "INC-7").exit_code == exits.NOT_FOUND
    assert bench.run("rm", "--key", "INC-7", "--now", "--yes").exit_code == 0
    assert bench.run("ls", "--deleted").stdout == ""


def test_rm_of_an_active_session_says_which_option_is_missing(bench: Bench) -> None:
    done = bench.run("rm", bench.filled())
    assert (done.exit_code, "--end" in done.stderr) == (1, True)


def test_redact_erases_and_tells_where_copies_may_remain(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    session = bench.filled()
    with bench.open() as client:
        step = next(iter(client.steps(session)))
    words = ("redact", session, step.invocation_id, step.invocation_step_id, "--reason", "secret")
    assert bench.run(*words).exit_code == 2
    monkeypatch.setattr(Client, "redact", giving(_redaction(step, ("a backup",))))
    assert "copies may remain: a backup" in bench.run(*words, "--yes").stdout
    monkeypatch.undo()
    (done,) = lines(bench.run(*words, "--yes", "--json"))
    assert done["blocks"] == 3
    assert "[redacted]" in bench.run("show", session).stdout
    document = json.loads(bench.run("show", session, "--json").stdout)
    assert document["steps"][0]["content"] == [{"type": "redacted"}] * 3


def giving(value: object) -> Callable[..., object]:
    def give(*_: object, **__: object) -> object:
        return value

    return give


def _redaction(step: stepwell.InvocationStep, remains: tuple[str, ...]) -> stepwell.Redaction:
    return stepwell.Redaction(
        session_id=step.session_id,
        invocation_id=step.invocation_id,
        invocation_step_id=step.invocation_step_id,
        blocks=3,
        remains=remains,
    )


def test_fork_copies_up_to_a_position(bench: Bench) -> None:
    session = bench.filled()
    with bench.open() as client:
        steps = list(client.steps(session))
    (made,) = lines(bench.run("fork", session, "--at", steps[1].position, "--new-key", "copy", "--json"))
    with bench.open() as client:
        assert [step.text for step in steps[:2]] == [step.text for step in client.steps(key="copy")]
    assert made["key"] == "copy"


# verify, salvage, gc, audit


def test_an_intact_session_verifies(bench: Bench) -> None:
    bench.filled()
    (found,) = lines(bench.run("verify", "--key", "INC-7", "--json"))
    assert (found["intact"], found["steps"], found["faults"]) == (True, 3, [])
    assert "intact" in bench.run("verify", "--all").stdout


def test_damage_is_found_saved_from_and_told_by_the_exit_code(bench: Bench) -> None:
    bench.filled("other")
    session = bench.filled("INC-7", steps=30)
    bench.damage()
    found = bench.run("verify", "--key", "INC-7", "--json")
    assert (found.exit_code, lines(found)[0]["intact"]) == (exits.DAMAGED, False)
    every = bench.run("verify", "--all")
    assert (every.exit_code, every.stdout.count("intact:"), every.stdout.count("DAMAGED")) == (exits.DAMAGED, 1, 1)
    saved = bench.run("salvage", session, "--new-key", "saved", "--json")
    assert (saved.exit_code, lines(saved)[0]["steps"]) == (exits.DAMAGED, 29)
    assert bench.run("show", session).exit_code == exits.DAMAGED
    assert bench.run("show", "--key", "saved").stdout.count('"step') == 29


def test_salvage_of_an_intact_session_ends_with_0(bench: Bench) -> None:
    assert bench.run("salvage", bench.filled()).exit_code == 0


def test_gc_purges_nothing_when_dry(bench: Bench) -> None:
    bench.filled()
    assert lines(bench.run("gc", "--dry-run", "--json"))[0]["dry_run"] is True
    assert "1  sessions looked at" in bench.run("gc").stdout


# Errors


def ending(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (stepwell.Conflict("no"), 1),
        (stepwell.Unavailable("no"), 1),
        (OSError(28, "No space left on device"), 1),
        (stepwell.InvalidRequest("no"), 2),
        (stepwell.NotFound("no"), 3),
        (stepwell.CorruptJournal("no", slot=3), 4),
        (stepwell.OutcomeUnknown("no", token="TOKEN"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_an_exit_code_and_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    bench.filled()
    monkeypatch.setattr(Client, "gc", ending(error))
    done = bench.run("gc")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("stepwell: ")
    assert "TOKEN" not in done.stderr
    told = error_of(bench.run("gc", "--json"))
    assert {"type", "message", "retryable"} <= told.keys()
    assert told.get("token") == getattr(error, "token", None)
    assert told.get("slot") == getattr(error, "slot", None)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", NOWHERE], 3),
        (["tail", "--key", "nobody"], 3),
        (["verify", NOWHERE], 3),
        (["rm", NOWHERE], 3),
        (["undelete", NOWHERE], 3),
        (["fork", NOWHERE], 3),
        (["salvage", NOWHERE], 3),
        (["redact", NOWHERE, NOWHERE, NOWHERE, "--reason", "r", "--yes"], 3),
        (["show", "garbage"], 2),
        (["show"], 2),
        (["show", NOWHERE, "--key", "k"], 2),
        (["show", NOWHERE, "--all", "--last", "1"], 2),
        (["tail", NOWHERE, "--after", "p", "--last", "1"], 2),
        (["tail", NOWHERE, "--after", "garbage"], 2),
        (["verify", NOWHERE, "--all"], 2),
        (["rm", NOWHERE, "--now", "--purge-after", "1d"], 2),
        (["rm", NOWHERE, "--purge-after", "soon"], 2),
        (["ls", "--url", "nowhere"], 2),
        (["ls", "--tag", "x"], 2),
        (["ls", "--since", "x"], 2),
        (["ls", "--tenant", "//"], 2),
        (["audit", "garbage"], 2),
    ],
)
def test_what_is_not_there_or_not_understood_has_its_exit_code(bench: Bench, words: list[str], code: int) -> None:
    bench.filled()
    done = bench.run(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr


# Hostile text


def harmless(shown: Result, *, coloured: bool = False) -> None:
    for stream in (shown.stdout, shown.stderr):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", stream) if coloured else stream
        assert not [harm for harm in HARM if harm in plain]


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "60"}])
def test_stored_text_reaches_the_terminal_only_as_it_was_written(bench: Bench, environment: dict[str, str]) -> None:
    session = bench.filled("[red]k[/]", text=HOSTILE)
    with bench.open() as client:
        step = next(iter(client.steps(session)))
    ids = (step.invocation_id, step.invocation_step_id)
    for words in (
        ("ls",),
        ("show", session, "--all"),
        ("tail", session, "--timeout", "0"),
        ("verify", session),
        ("fork", session),
        ("salvage", session),
        ("redact", session, *ids, "--reason", HOSTILE, "--approver", HOSTILE, "--yes"),
        ("rm", session, "--end", "--reason", HOSTILE),
        ("ls", "--deleted"),
        ("undelete", session, "--reason", HOSTILE),
        ("audit",),
        ("gc",),
        ("show", "--key", HOSTILE),
        ("show", HOSTILE),
        ("ls", "--url", HOSTILE),
    ):
        for form in (words, (*words, "--json")):
            done = bench.run(*form, **environment)
            harmless(done, coloured=bool(environment))
            assert done.stdout.isascii() or "--json" not in form
    assert "[red]k[/]" in "".join(bench.run("ls").stdout.split())
    assert "\\x1b]0;owned\\x07[bold red]x[/] :boom:" in bench.run("audit").stdout


def test_a_hostile_error_is_shown_harmlessly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "gc", ending(stepwell.Unavailable(HOSTILE)))
    for form in (["gc"], ["gc", "--json"]):
        harmless(bench.run(*form))
