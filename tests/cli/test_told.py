"""What goes wrong is told in one line, in the command's own words, and names the store."""

import json
import shutil
from pathlib import Path

import pytest

import stepwell
from stepwell.cli import exits
from stepwell.cli.place import folder_of, store_name
from stepwell.cli.terminal import harmless, printable
from stepwell.cli.wording import in_words
from tests.cli.bench import NOWHERE, Bench, error_of, lines


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# Usage


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ls", "--nothing"], "No such option: --nothing"),
        (["nothing"], "No such command 'nothing'"),
        (["ls", "--status", "OLD"], "'OLD' is not one of"),
        (["ls", "--limit", "0"], "'--limit'"),
        (["ls", "two\nlines\u202e"], "lines\\u202e)"),
        (["verify"], "--all"),
        (["show"], "give SESSION, or else --key KEY"),
        (["rm", "--key", "INC-7", "--purge-after", "soon"], "'soon' is no length of time"),
        (["redact", NOWHERE, NOWHERE, NOWHERE, "--reason", " "], "--reason is empty"),
        (["redact", NOWHERE], "Missing argument"),
    ],
)
def test_what_is_not_understood_is_told_in_one_line(bench: Bench, words: list[str], told: str) -> None:
    bench.filled()
    done = bench.run(*words)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (exits.USAGE, "", 1)
    assert done.stderr.startswith("stepwell: ")
    assert told in done.stderr
    error = error_of(bench.run(*words, "--json"))
    assert (error["type"], error["retryable"], told in harmless(error["message"])) == ("UsageError", False, True)


def test_without_a_command_the_help_is_shown(bench: Bench) -> None:
    done = bench.run()
    assert (done.exit_code, "Usage: stepwell" in done.stdout) == (exits.USAGE, True)


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "--url", "nowhere:x"],
        ["ls", "--url", "s3:bucket"],
        ["rm", "--key", "INC-7", "--end", "--reason", "x" * 1001],
        ["rm", "--key", "INC-7", "--end", "--purge-after", "0s"],
    ],
)
def test_an_argument_that_no_store_takes_is_not_understood(bench: Bench, words: list[str]) -> None:
    bench.filled()
    done = bench.run(*words)
    assert (done.exit_code, done.stderr.count("\n")) == (exits.USAGE, 1)


# Words


def test_errors_give_advice_for_the_command_line(bench: Bench) -> None:
    session = bench.filled()
    bench.filled("taken")
    assert "InvocationStep" not in (told := bench.run("tail", session, "--after", "garbage").stderr)
    assert "`stepwell show --ids`" in told
    assert "--end" in bench.run("rm", session).stderr
    assert "open_session" not in bench.run("fork", session, "--new-key", "taken").stderr
    assert "open_session" not in bench.run("show", "--key", "nobody").stderr
    assert "timedelta" not in bench.run("rm", session, "--purge-after", "0s").stderr
    bench.run("rm", session, "--end")
    assert "`stepwell undelete`" in (told := bench.run("show", session).stderr)
    assert "undelete(" not in told


def test_words_leave_other_messages_as_they_are() -> None:
    assert in_words("no such session") == "no such session"
    assert in_words("perhaps: call resolve(error.token) to learn which") == "perhaps"


# Backslashes


def test_different_texts_never_look_the_same() -> None:
    texts = ["\x1b", "\\x1b", "\\\\x1b", "\\\x1b", "\\", "\\\\", "C:\\dir", "a\nb", "a\\nb", "\u202e", "\\u202e"]
    assert len({printable(text) for text in texts}) == len(texts)
    assert printable("C:\\dir") == "C:\\dir"
    assert printable("\\x1b") == "\\\\x1b"


def test_a_sentence_keeps_what_it_quotes() -> None:
    assert harmless("no key '\\x1b'\n") == "no key '\\x1b'\\n"


# The store


def test_what_is_not_found_names_the_store(bench: Bench) -> None:
    bench.filled()
    for words in (["show", "--key", "nobody"], ["show", NOWHERE]):
        assert bench.url in bench.run(*words).stderr
        assert f"{bench.url}, tenant other" in bench.run(*words, "--tenant", "other").stderr
        assert bench.url in error_of(bench.run(*words, "--json"))["message"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ls", "--tenant", "other"], "no sessions in"),
        (["ls", "--status", "ENDED"], "no such sessions in"),
        (["ls", "--deleted"], "no such sessions in"),
        (["verify", "--all", "--tenant", "other"], "no sessions in"),
        (["gc", "--dry-run", "--tenant", "other"], "no sessions in"),
        (["audit"], "no audit records in"),
        (["audit", NOWHERE], f"no audit records of session {NOWHERE} in"),
    ],
)
def test_where_nothing_is_found_people_are_told(bench: Bench, words: list[str], told: str) -> None:
    bench.filled()
    done = bench.run(*words)
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert f"{told} {bench.url}" in done.stderr
    silent = bench.run(*words, "--json")
    assert (silent.exit_code, silent.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [["ls"], ["show", NOWHERE], ["tail", NOWHERE], ["verify", "--all"], ["gc"], ["gc", "--dry-run"], ["audit"]],
)
def test_a_folder_that_is_not_there_is_told_and_not_made(bench: Bench, words: list[str]) -> None:
    done = bench.run(*words)
    assert (done.exit_code, done.stdout) == (exits.NOT_FOUND, "")
    assert done.stderr == f"stepwell: there is no store in {bench.url}\n"
    assert error_of(bench.run(*words, "--json"))["type"] == "NotFound"
    assert list(bench.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("file:./sessions?tenant=acme", "file:./sessions, tenant acme"),
        ("file:./sessions?network=1&tenant=default", "file:./sessions"),
        ("dynamodb://name:secret@host/table?token=secret", "dynamodb://host/table"),
    ],
)
def test_the_name_of_a_store_holds_no_secrets(url: str, name: str) -> None:
    assert store_name(url, None) == name


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:./a%20b?tenant=x", Path("a b")),
        ("file:///abs/dir", Path("/abs/dir")),
        ("file://localhost/abs/dir", Path("/abs/dir")),
        ("file:~/dir", Path.home() / "dir"),
        ("memory:name", None),
    ],
)
def test_the_folder_of_a_url_is_the_one_that_is_opened(url: str, folder: Path | None) -> None:
    assert folder_of(url) == folder


def test_the_default_store_is_named_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(bench.folder))
    monkeypatch.setenv("HOME", str(bench.folder))
    done = bench.run("ls", STEPWELL_URL="")
    assert (done.exit_code, str(bench.folder) in done.stderr) == (exits.NOT_FOUND, True)


# Damage


def test_a_listed_session_whose_journal_is_gone_is_damage(bench: Bench) -> None:
    bench.filled("other")
    session = bench.filled()
    _remove(bench, session)
    done = bench.run("verify", "--all")
    assert (done.exit_code, done.stdout.count("intact:"), done.stderr.count("\n")) == (exits.DAMAGED, 1, 1)
    assert session in done.stderr
    error = error_of(bench.run("verify", "--all", "--json"))
    assert (error["type"], error["session_id"]) == ("CorruptJournal", session)


def _remove(bench: Bench, session: str) -> None:
    (folder,) = bench.folder.glob(f"sessions/sessions/*/{session.replace('-', '')}")
    shutil.rmtree(folder)


def test_one_cause_is_told_once_with_what_follows_from_it_and_where_its_files_are(bench: Bench) -> None:
    session = bench.filled(steps=30)
    journal = next(bench.folder.glob("sessions/sessions/*/*/journal.log"))
    data = bytearray(journal.read_bytes())
    data[len(data) // 3] ^= 1
    journal.write_bytes(data)
    told = bench.run("verify", session).stdout.splitlines()
    assert len(lines(bench.run("verify", session, "--json"))[0]["faults"]) > 1
    assert "DAMAGED in 1 place:" in told[0]
    assert told[1].startswith("  slot ")
    assert {line[:12] for line in told[2:-1]} == {"    and so: "}
    assert told[-1] == f"  its files are in {journal.parent}"


def test_a_session_that_cannot_be_deleted_for_damage_says_what_can_be_done(bench: Bench) -> None:
    session = bench.filled()
    journal = next(bench.folder.glob("sessions/sessions/*/*/journal.log"))
    data = bytearray(journal.read_bytes())
    data[data.rindex(b"step 2") - 40] ^= 1
    journal.write_bytes(data)
    done = bench.run("rm", session, "--end")
    assert done.exit_code == exits.DAMAGED
    assert "`stepwell salvage`" in done.stderr
    assert "docs/reliability.md" in done.stderr


def test_an_end_that_is_not_whole_is_not_called_a_write_for_certain(bench: Bench) -> None:
    session = bench.filled()
    journal = next(bench.folder.glob("sessions/sessions/*/*/journal.log"))
    data = journal.read_bytes().rstrip(b"\0")
    journal.write_bytes(data[: data.rindex(b"step 2") + 3])
    done = bench.run("verify", session)
    assert done.exit_code == 0
    assert "a write that was not finished, or an end that was cut off" in done.stdout


# Redaction and audit


def test_a_step_that_was_redacted_before_is_told_so(bench: Bench) -> None:
    session = bench.filled()
    with bench.open() as client:
        step = next(iter(client.steps(session)))
    words = ("redact", session, step.invocation_id, step.invocation_step_id, "--reason", "secret", "--yes")
    assert "is redacted: 3 content blocks" in bench.run(*words).stdout
    assert "was redacted before: 3 content blocks" in bench.run(*words).stdout


def test_the_audit_of_one_session_is_found_by_its_key(bench: Bench) -> None:
    session = bench.filled()
    bench.filled("other")
    for key in ("INC-7", "other"):
        bench.run("rm", "--key", key, "--end")
    assert [record["session_id"] for record in lines(bench.run("audit", "--key", "INC-7", "--json"))] == [session]
    assert bench.run("audit", "--key", "nobody").exit_code == exits.NOT_FOUND


# The sync client, whose errors these are


def test_a_call_that_does_not_fit_names_the_class_that_was_used() -> None:
    with stepwell.Client("memory:") as client:
        with pytest.raises(TypeError, match=r"^Client\.redact\(\): missing .*'reason'$"):
            client.redact(NOWHERE, NOWHERE, NOWHERE)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError, match=r"^Client\.steps\(\): "):
            client.steps(NOWHERE, newest=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_json_errors_are_ascii(bench: Bench) -> None:
    assert json.loads(bench.run("ls", "\u202e", "--json").stderr)["error"]["type"] == "UsageError"
    assert bench.run("ls", "\u202e", "--json").stderr.isascii()
