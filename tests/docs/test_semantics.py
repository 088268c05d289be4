"""One test for each row of the table in docs/semantics.md, and one for each cell of its table of statuses.

Times are the clock's alone: nothing here sleeps.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

import stepwell
from stepwell import Client, Image, Limits, NewStep, Position, Text
from stepwell.stores.base import JournalId, SlotTaken
from stepwell.stores.memory import MemoryStore

PAGE = (Path(__file__).parents[2] / "docs" / "semantics.md").read_text()
ID = "00000000-0000-0000-0000-00000000000a"
OTHER_ID = "ffffffff-ffff-ffff-ffff-fffffffffff0"
HOUR = 3600
DAY = timedelta(days=1)


class ManualClock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def wall(self) -> int:
        return self.now

    def boot(self) -> int:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(clock: ManualClock) -> Iterator[Client]:
    with Client("memory:", clock=clock) as client:
        yield client


@pytest.fixture
def bedrock(clock: ManualClock) -> Iterator[Client]:
    """A client with the limits and times of Bedrock."""
    with Client("memory:", clock=clock, limits=Limits.bedrock()) as client:
        yield client


def begin(client: Client) -> tuple[str, str]:
    """A session with one invocation."""
    session_id = client.create_session().session_id
    return session_id, client.create_invocation(session_id).invocation_id


def texts(client: Client, session_id: str) -> list[str]:
    return [step.text for step in client.steps(session_id)]


# Status


def test_ending_twice_is_a_success(client: Client) -> None:
    session_id, _ = begin(client)
    ended = client.end_session(session_id)
    assert client.end_session(session_id) == ended
    assert ended.session_status == "ENDED"


def test_an_ended_session_can_be_read_and_not_written(client: Client) -> None:
    session_id, invocation_id = begin(client)
    step = client.put_invocation_step(session_id, invocation_id, "kept")
    client.end_session(session_id)
    with pytest.raises(stepwell.SessionEnded):
        client.put_invocation_step(session_id, invocation_id, "late")
    assert list(client.steps(session_id)) == [step]


def test_an_active_session_is_deleted_only_when_asked_to_end_it(client: Client) -> None:
    session_id, _ = begin(client)
    with pytest.raises(stepwell.Conflict):
        client.delete_session(session_id)
    client.delete_session(session_id, end=True)
    with pytest.raises(stepwell.NotFound):
        client.get_session(session_id)


def test_an_expired_session_can_be_ended_and_deleted(bedrock: Client, clock: ManualClock) -> None:
    one, another = begin(bedrock)[0], begin(bedrock)[0]
    clock.go_on(HOUR)
    assert bedrock.end_session(one).session_status == "ENDED"
    bedrock.delete_session(another)
    assert [session.session_id for session in bedrock.sessions()] == [one]


def test_a_write_to_an_expired_session_is_refused_and_does_not_revive_it(bedrock: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(bedrock)
    clock.go_on(HOUR)
    with pytest.raises(stepwell.SessionExpired):
        bedrock.put_invocation_step(session_id, invocation_id, "late")
    with pytest.raises(stepwell.SessionExpired):
        bedrock.create_invocation(session_id)
    assert bedrock.get_session(session_id).session_status == "EXPIRED"
    assert texts(bedrock, session_id) == []


def test_an_expired_session_is_gone_on_with_by_a_fork(bedrock: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(bedrock)
    bedrock.put_invocation_step(session_id, invocation_id, "before")
    clock.go_on(HOUR)
    fork = bedrock.fork(session_id)
    bedrock.put_invocation_step(fork.session_id, invocation_id, "after")
    assert fork.session_status == "ACTIVE"
    assert texts(bedrock, fork.session_id) == ["before", "after"]


def test_a_write_keeps_a_session_from_expiring(bedrock: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(bedrock)
    writes: tuple[Callable[[], object], ...] = (
        lambda: bedrock.create_invocation(session_id),
        lambda: bedrock.put_invocation_step(session_id, invocation_id, "a step"),
        lambda: bedrock.update_session(session_id, {"phase": "second"}),
        lambda: bedrock.lease(session_id),
    )
    for write in writes:
        clock.go_on(HOUR - 1)
        write()
    clock.go_on(HOUR - 1)
    assert bedrock.get_session(session_id).session_status == "ACTIVE"


def test_reads_and_tags_do_not_keep_a_session_from_expiring(bedrock: Client, clock: ManualClock) -> None:
    session_id, _ = begin(bedrock)
    clock.go_on(HOUR - 1)
    bedrock.get_session(session_id)
    bedrock.tag_resource(session_id, {"team": "blue"})
    clock.go_on(1)
    assert bedrock.get_session(session_id).session_status == "EXPIRED"


def test_times_of_a_session_are_recorded_when_it_is_created(clock: ManualClock) -> None:
    name = "memory:times-are-recorded"
    with (
        Client(name, clock=clock, limits=Limits(idle_timeout=timedelta(minutes=1))) as strict,
        Client(name, clock=clock) as lax,
    ):
        strictly, laxly = begin(strict), begin(lax)
        clock.go_on(60)
        with pytest.raises(stepwell.SessionExpired):
            lax.put_invocation_step(*strictly, "late")
        strict.put_invocation_step(*laxly, "in time")


def test_retention_counts_from_creation(bedrock: Client, clock: ManualClock) -> None:
    session_id, _ = begin(bedrock)
    for count in range(30 * 24 * 2 - 1):
        clock.go_on(HOUR / 2)
        bedrock.update_session(session_id, {"busy": str(count)})
    clock.go_on(HOUR / 2)
    with pytest.raises(stepwell.NotFound):
        bedrock.get_session(session_id)
    assert bedrock.list_sessions().items == ()


def test_without_limits_nothing_expires(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    clock.go_on(20 * 365 * 24 * HOUR)
    client.put_invocation_step(session_id, invocation_id, "still here")
    assert texts(client, session_id) == ["still here"]


def test_a_step_does_not_touch_last_updated_at(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    before = client.get_session(session_id)
    clock.go_on(5)
    client.put_invocation_step(session_id, invocation_id, "a step")
    after = client.get_session(session_id)
    assert after.last_updated_at == before.last_updated_at
    assert after.last_activity_at - before.last_activity_at == timedelta(seconds=5)


def test_metadata_tags_and_the_end_touch_last_updated_at(client: Client, clock: ManualClock) -> None:
    session_id, _ = begin(client)
    changes: tuple[Callable[[], object], ...] = (
        lambda: client.update_session(session_id, {"a": "b"}),
        lambda: client.tag_resource(session_id, {"a": "b"}),
        lambda: client.untag_resource(session_id, ["a"]),
        lambda: client.end_session(session_id),
    )
    for change in changes:
        clock.go_on(1)
        change()
        now = datetime.fromtimestamp(clock.now / 1_000_000, UTC)
        assert client.get_session(session_id).last_updated_at == now


def test_deleting_leaves_nothing_behind(client: Client) -> None:
    session_id, _ = begin(client)
    client.delete_session(session_id, end=True)
    assert client.list_sessions().items == ()
    with pytest.raises(stepwell.NotFound):
        client.delete_session(session_id)


# Metadata and tags


def test_metadata_are_replaced_and_none_clear_them(client: Client) -> None:
    session_id = client.create_session(metadata={"a": "1", "b": "2"}).session_id
    assert client.update_session(session_id, {"c": "3"}).metadata == {"c": "3"}
    assert client.update_session(session_id, {}).metadata == {}


def test_metadata_of_a_session_that_is_not_active_stay_as_they_are(client: Client) -> None:
    session_id = client.create_session(metadata={"a": "1"}).session_id
    client.end_session(session_id)
    with pytest.raises(stepwell.SessionEnded):
        client.update_session(session_id, {})
    assert client.get_session(session_id).metadata == {"a": "1"}


def test_tags_are_merged_whatever_the_status(client: Client) -> None:
    session_id = client.create_session(tags={"a": "1", "b": "2"}).session_id
    client.end_session(session_id)
    client.tag_resource(session_id, {"b": "3", "c": "4"})
    client.untag_resource(session_id, ["a", "never there"])
    assert client.list_tags_for_resource(session_id) == {"b": "3", "c": "4"}


# Ids


def test_any_lowercase_uuid_is_an_id(client: Client) -> None:
    session_id, _ = begin(client)
    md5 = "f75c463a-a608-0629-401e-f4d270073c0c"
    assert client.create_invocation(session_id, invocation_id=md5).invocation_id == md5
    for bad in (md5.upper(), md5.replace("-", ""), f"x{md5}", f"{md5}\n", ""):
        with pytest.raises(stepwell.InvalidRequest):
            client.create_invocation(session_id, invocation_id=bad)


def test_an_arn_of_any_account_and_region_stands_for_its_session(client: Client) -> None:
    session_id, _ = begin(client)
    arn = f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:session/{session_id}"
    assert client.get_session(arn).session_id == session_id
    with pytest.raises(stepwell.InvalidRequest):
        client.get_session(arn + "junk")
    assert client.get_session(session_id).session_arn == (
        f"arn:aws:bedrock:us-east-1:000000000000:session/{session_id}"
    )


def test_creating_twice_makes_two_sessions_unless_they_have_a_key(client: Client) -> None:
    assert client.create_session().session_id != client.create_session().session_id
    first = client.create_session(key="INC-7")
    with pytest.raises(stepwell.AlreadyExists) as refused:
        client.create_session(key="INC-7")
    assert refused.value.session_id == first.session_id
    assert client.open_session(key="INC-7") == first


def test_an_invocation_id_is_taken_once(client: Client) -> None:
    session_id, invocation_id = begin(client)
    with pytest.raises(stepwell.AlreadyExists):
        client.create_invocation(session_id, invocation_id=invocation_id)
    client.create_invocation(client.create_session().session_id, invocation_id=invocation_id)


def test_the_same_step_again_is_a_success_that_writes_nothing(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    first = client.put_invocation_step(session_id, invocation_id, "same", invocation_step_id=ID)
    clock.go_on(10)
    again = client.put_invocation_step(session_id, invocation_id, "same", invocation_step_id=ID)
    assert again == first
    client.end_session(session_id)
    assert client.put_invocation_step(session_id, invocation_id, "same", invocation_step_id=ID) == first
    assert texts(client, session_id) == ["same"]


def test_a_step_id_with_other_content_or_another_time_is_taken(client: Client) -> None:
    session_id, invocation_id = begin(client)
    step = client.put_invocation_step(session_id, invocation_id, "one", invocation_step_id=ID)
    with pytest.raises(stepwell.AlreadyExists):
        client.put_invocation_step(session_id, invocation_id, "two", invocation_step_id=ID)
    with pytest.raises(stepwell.AlreadyExists):
        client.put_invocation_step(
            session_id,
            invocation_id,
            "one",
            invocation_step_id=ID,
            invocation_step_time=step.invocation_step_time + timedelta(seconds=1),
        )


def test_a_step_id_is_unique_within_its_invocation(client: Client) -> None:
    session_id, one = begin(client)
    another = client.create_invocation(session_id).invocation_id
    client.put_invocation_step(session_id, one, "one", invocation_step_id=ID)
    client.put_invocation_step(session_id, another, "another", invocation_step_id=ID)
    assert client.get_invocation_step(session_id, another, ID).text == "another"


def test_a_step_is_not_found_under_another_invocation(client: Client) -> None:
    session_id, one = begin(client)
    another = client.create_invocation(session_id).invocation_id
    client.put_invocation_step(session_id, one, "one", invocation_step_id=ID)
    with pytest.raises(stepwell.NotFound):
        client.get_invocation_step(session_id, another, ID)


def test_a_batch_of_steps_is_written_whole_or_not_at_all(client: Client) -> None:
    session_id, invocation_id = begin(client)
    first = NewStep(content=(Text(text="first"),), invocation_step_id=ID)
    client.put_invocation_steps(session_id, invocation_id, [first])
    with pytest.raises(stepwell.AlreadyExists):
        client.put_invocation_steps(session_id, invocation_id, [first, "second"])
    assert texts(client, session_id) == ["first"]
    steps = client.put_invocation_steps(session_id, invocation_id, ["second", "third"])
    assert len({step.slot for step in steps}) == 1


def test_a_step_needs_its_invocation_unless_it_may_create_it(client: Client) -> None:
    session_id, _ = begin(client)
    with pytest.raises(stepwell.NotFound):
        client.put_invocation_step(session_id, ID, "a step")
    client.put_invocation_step(session_id, ID, "a step", create_invocation=True)
    assert texts(client, session_id) == ["a step"]


# Order, pages, lists


def test_steps_are_listed_by_arrival_not_by_their_time(client: Client) -> None:
    session_id, invocation_id = begin(client)
    put = [
        client.put_invocation_step(
            session_id, invocation_id, "x", invocation_step_time=datetime(2030, 1, day, tzinfo=UTC)
        ).invocation_step_id
        for day in (2, 3, 1)
    ]
    listed = client.list_invocation_steps(session_id).items
    assert [step.invocation_step_id for step in listed] == put[::-1]
    assert [step.invocation_step_id for step in client.steps(session_id)] == put


def test_sessions_and_invocations_are_listed_newest_first(client: Client, clock: ManualClock) -> None:
    sessions: list[str] = []
    for _ in range(3):
        sessions.append(client.create_session().session_id)
        clock.go_on(0.001)
    assert [session.session_id for session in client.list_sessions().items] == sessions[::-1]
    made = [client.create_invocation(sessions[0]).invocation_id for _ in range(3)]
    listed = client.list_invocations(sessions[0]).items
    assert [invocation.invocation_id for invocation in listed] == made[::-1]


def test_a_page_holds_10_unless_1_to_1000_are_asked_for(client: Client) -> None:
    session_id, invocation_id = begin(client)
    client.put_invocation_steps(session_id, invocation_id, ["x"] * 11)
    assert len(client.list_invocation_steps(session_id).items) == 10
    assert len(client.list_invocation_steps(session_id, max_results=1000).items) == 11
    for bad in (0, 1001, -1):
        with pytest.raises(stepwell.InvalidRequest):
            client.list_invocation_steps(session_id, max_results=bad)


def test_a_page_token_is_good_for_its_list_alone_and_for_ever(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    client.put_invocation_steps(session_id, invocation_id, ["one", "two"])
    token = client.list_invocation_steps(session_id, max_results=1).next_token
    for ask in (
        lambda: client.list_invocation_steps(session_id, invocation_id, next_token=token),
        lambda: client.list_invocation_steps(begin(client)[0], next_token=token),
        lambda: client.list_invocations(session_id, next_token=token),
        lambda: client.list_sessions(next_token=token),
    ):
        with pytest.raises(stepwell.InvalidRequest):
            ask()
    clock.go_on(365 * 24 * HOUR)
    assert len(client.list_invocation_steps(session_id, next_token=token).items) == 1


def test_a_page_token_is_useless_for_another_tenant() -> None:
    name = "memory:tokens-of-tenants"
    with Client(name, tenant="red") as red, Client(name, tenant="blue") as blue:
        for _ in range(2):
            red.create_session()
        token = red.list_sessions(max_results=1).next_token
        with pytest.raises(stepwell.InvalidRequest):
            blue.list_sessions(next_token=token)


def test_what_is_added_while_paging_disturbs_no_page(client: Client) -> None:
    session_id, invocation_id = begin(client)
    client.put_invocation_steps(session_id, invocation_id, ["x"] * 4)
    first = client.list_invocation_steps(session_id, max_results=2)
    client.put_invocation_step(session_id, invocation_id, "newer")
    second = client.list_invocation_steps(session_id, max_results=2, next_token=first.next_token)
    ids = [step.invocation_step_id for step in (*first.items, *second.items)]
    assert len(set(ids)) == 4
    assert second.next_token is None


def test_a_list_of_an_unknown_invocation_is_not_found(client: Client) -> None:
    session_id, invocation_id = begin(client)
    assert client.list_invocation_steps(session_id, invocation_id).items == ()
    with pytest.raises(stepwell.NotFound):
        client.list_invocation_steps(session_id, ID)


def test_steps_of_a_session_are_listed_across_invocations(client: Client) -> None:
    session_id, one = begin(client)
    another = client.create_invocation(session_id).invocation_id
    for invocation_id in (one, another, one):
        client.put_invocation_step(session_id, invocation_id, "x")
    listed = client.list_invocation_steps(session_id).items
    assert [step.invocation_id for step in listed] == [one, another, one]


def test_lists_show_every_acknowledged_write() -> None:
    name = "memory:read-your-writes"
    with Client(name) as writer, Client(name) as reader:
        session_id = writer.create_session(tags={"team": "blue"}).session_id
        assert [session.tags for session in reader.sessions()] == [{"team": "blue"}]
        invocation_id = writer.create_invocation(session_id).invocation_id
        assert len(reader.list_invocations(session_id).items) == 1
        for count in range(1, 4):
            writer.put_invocation_step(session_id, invocation_id, "x")
            assert len(reader.list_invocation_steps(session_id).items) == count
        writer.end_session(session_id)
        assert [session.session_status for session in reader.sessions()] == ["ENDED"]
        writer.delete_session(session_id)
        assert list(reader.sessions()) == []


def test_a_list_shows_an_idle_session_as_active_until_somebody_looks(bedrock: Client, clock: ManualClock) -> None:
    session_id, _ = begin(bedrock)
    clock.go_on(HOUR)
    assert [session.session_status for session in bedrock.sessions()] == ["ACTIVE"]
    bedrock.get_session(session_id)
    assert [session.session_status for session in bedrock.sessions()] == ["EXPIRED"]


def test_lists_of_sessions_can_be_filtered(client: Client, clock: ManualClock) -> None:
    old = client.create_session(key="team/old", tags={"team": "blue", "stage": "test"})
    clock.go_on(1)
    new = client.create_session(key="team/new", tags={"team": "blue"})
    client.end_session(old.session_id)

    def keys(**chosen: object) -> list[str | None]:
        return [session.key for session in client.sessions(**chosen)]  # type: ignore[arg-type]

    assert keys(tags={"team": "blue"}) == ["team/new", "team/old"]
    assert keys(tags={"team": "blue", "stage": "test"}) == ["team/old"]
    assert keys(status="ENDED") == ["team/old"]
    assert keys(key_prefix="team/n") == ["team/new"]
    assert keys(created_after=old.created_at) == ["team/new"]
    assert keys(created_after=new.created_at) == []


# Content and time


def test_content_is_what_it_was(client: Client) -> None:
    session_id, invocation_id = begin(client)
    content = (Text(text="p99 is 4 s"), Image(format="png", data=b"\x89PNG"), stepwell.Data(data=b""))
    put = client.put_invocation_step(session_id, invocation_id, content)
    assert client.get_invocation_step(session_id, invocation_id, put.invocation_step_id).content == content


def test_content_must_hold_something(client: Client) -> None:
    session_id, invocation_id = begin(client)
    nothings: tuple[stepwell.Content, ...] = ("", [], [""])
    for empty in nothings:
        with pytest.raises(stepwell.InvalidRequest):
            client.put_invocation_step(session_id, invocation_id, empty)
    assert texts(client, session_id) == []


def test_an_image_in_s3_is_kept_as_a_pointer(client: Client) -> None:
    session_id, invocation_id = begin(client)
    image = Image(format="png", s3_uri="s3://nobodys-bucket/never/written.png")
    client.put_invocation_step(session_id, invocation_id, image)
    assert [step.content for step in client.steps(session_id)] == [(image,)]


def test_an_image_is_not_looked_into(client: Client) -> None:
    session_id, invocation_id = begin(client)
    client.put_invocation_step(session_id, invocation_id, Image(format="jpeg", data=b"no jpeg at all"))
    with pytest.raises(stepwell.InvalidRequest):
        Image(format="bmp", data=b"BM")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_times_are_kept_to_the_microsecond_and_naive_ones_are_utc(client: Client) -> None:
    session_id, invocation_id = begin(client)
    naive = datetime(2026, 1, 2, 3, 4, 5, 678901)  # noqa: DTZ001 - that is the point
    step = client.put_invocation_step(session_id, invocation_id, "x", invocation_step_time=naive)
    assert step.invocation_step_time == naive.replace(tzinfo=UTC)
    with pytest.raises(stepwell.InvalidRequest):
        client.put_invocation_step(
            session_id, invocation_id, "x", invocation_step_time=datetime(1969, 12, 31, tzinfo=UTC)
        )


def test_a_step_without_a_time_has_that_of_its_record(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    step = client.put_invocation_step(session_id, invocation_id, "x")
    assert step.invocation_step_time == datetime.fromtimestamp(clock.now / 1_000_000, UTC)


def test_a_description_is_returned_by_create_invocation_alone(client: Client) -> None:
    session_id = client.create_session().session_id
    invocation = client.create_invocation(session_id, description="latency alert")
    assert invocation.description == "latency alert"
    assert "description" not in type(client.list_invocations(session_id).items[0]).model_fields


# Quotas


def test_the_1001st_step_is_refused(bedrock: Client) -> None:
    session_id, invocation_id = begin(bedrock)
    for _ in range(4):
        bedrock.put_invocation_steps(session_id, invocation_id, ["x"] * 250)
    with pytest.raises(stepwell.LimitExceeded, match="steps_per_session"):
        bedrock.put_invocation_step(session_id, invocation_id, "one too many")


def test_sessions_and_invocations_are_not_counted(bedrock: Client) -> None:
    sessions = [bedrock.create_session().session_id for _ in range(101)]
    for _ in range(1001):
        bedrock.create_invocation(sessions[0])
    assert len(list(bedrock.sessions())) == 101


def test_a_step_holds_50_million_bytes_before_encoding() -> None:
    limits = Limits.bedrock()
    assert limits.step_bytes == 50_000_000
    limits.check_content([Text(text="é" * 25_000_000)])
    with pytest.raises(stepwell.LimitExceeded, match="step_bytes"):
        limits.check_content([Text(text="é" * 25_000_000), Text(text="x")])


def test_a_step_holds_20_images_of_3_75_million_bytes(bedrock: Client) -> None:
    session_id, invocation_id = begin(bedrock)
    small, large = Image(format="png", data=b"x"), Image(format="png", data=bytes(3_750_001))
    with pytest.raises(stepwell.LimitExceeded, match="images_per_step"):
        bedrock.put_invocation_step(session_id, invocation_id, [small] * 21)
    with pytest.raises(stepwell.LimitExceeded, match="image_bytes"):
        bedrock.put_invocation_step(session_id, invocation_id, large)
    bedrock.put_invocation_step(session_id, invocation_id, [small] * 20)


def test_metadata_tags_and_descriptions_have_limits_that_are_named(bedrock: Client) -> None:
    session_id, _ = begin(bedrock)
    refused: dict[str, Callable[[], object]] = {
        "metadata_entries": lambda: bedrock.update_session(session_id, {str(n): "" for n in range(51)}),
        "metadata_key_characters": lambda: bedrock.update_session(session_id, {"x" * 101: ""}),
        "metadata_value_characters": lambda: bedrock.update_session(session_id, {"x": "x" * 5001}),
        "tag_entries": lambda: bedrock.tag_resource(session_id, {str(n): "" for n in range(201)}),
        "tag_key_characters": lambda: bedrock.tag_resource(session_id, {"x" * 129: ""}),
        "tag_value_characters": lambda: bedrock.tag_resource(session_id, {"x": "x" * 257}),
        "description_characters": lambda: bedrock.create_invocation(session_id, description="x" * 201),
    }
    for name, call in refused.items():
        with pytest.raises(stepwell.LimitExceeded, match=name):
            call()


def test_a_call_has_limits_of_its_own_in_every_store(client: Client) -> None:
    session_id, invocation_id = begin(client)
    with pytest.raises(stepwell.LimitExceeded, match="STEPS_PER_CALL_MAX"):
        client.put_invocation_steps(session_id, invocation_id, ["x"] * 251)
    with pytest.raises(stepwell.LimitExceeded, match="CALL_MAX_BYTES"):
        client.update_session(session_id, {"x": "x" * 300_000})
    client.put_invocation_step(session_id, invocation_id, "x" * 10_000_000)


def test_a_key_that_cannot_be_honoured_is_refused(client: Client) -> None:
    with pytest.raises(stepwell.NotSupported):
        client.create_session(encryption_key_arn="arn:aws:kms:us-east-1:000000000000:key/" + ID)
    assert client.list_sessions().items == ()


# Beyond Bedrock


def test_a_key_is_free_again_once_its_session_is_deleted(client: Client) -> None:
    first = client.create_session(key="INC-7")
    client.end_session(first.session_id)
    with pytest.raises(stepwell.AlreadyExists):
        client.create_session(key="INC-7")
    client.delete_session(first.session_id)
    second = client.create_session(key="INC-7")
    assert second.session_id != first.session_id
    assert client.get_session(key="INC-7") == second


def test_a_key_may_be_any_name_that_one_can_read(client: Client) -> None:
    for good in ("INC-7", "user/42", "ä" * 512, "a:b#c?d %2e", " ", "COM1"):
        assert client.get_session(key=client.create_session(key=good).key).key == good
    for bad in ("", "a" * 513, "a\nb", "a\0b", ".", "..", "../../etc", "a/./b", "\u202eabc", "\ud800"):
        with pytest.raises(stepwell.InvalidRequest):
            client.create_session(key=bad)
    assert client.open_session(key="e\u0301").session_id != client.open_session(key="\u00e9").session_id


def test_another_tenant_sees_nothing_not_even_a_difference() -> None:
    name = "memory:tenants"
    with Client(name, tenant="red") as red, Client(name, tenant="blue") as blue:
        session = red.create_session(key="INC-7")
        with pytest.raises(stepwell.NotFound) as hidden:
            blue.get_session(session.session_id)
        with pytest.raises(stepwell.NotFound) as absent:
            blue.get_session(ID)
        assert str(hidden.value) == str(absent.value)
        assert blue.list_sessions().items == ()
        assert blue.create_session(key="INC-7").session_id != session.session_id


def test_if_head_refuses_what_another_handle_has_passed_by(client: Client) -> None:
    session_id, invocation_id = begin(client)
    seen = client.get_session(session_id).head
    mine = client.put_invocation_step(session_id, invocation_id, "mine", if_head=seen)
    client.put_invocation_step(session_id, invocation_id, "mine again", if_head=seen)
    client.handle().put_invocation_step(session_id, invocation_id, "theirs")
    with pytest.raises(stepwell.HeadMoved):
        client.put_invocation_step(session_id, invocation_id, "blind", if_head=mine.position)
    unseen = list(client.steps(session_id, after=mine.position))
    assert [step.text for step in unseen] == ["mine again", "theirs"]
    client.put_invocation_step(session_id, invocation_id, "informed", if_head=unseen[-1].position)


def test_an_older_lease_is_fenced_and_no_lease_is_not(client: Client) -> None:
    session_id, invocation_id = begin(client)
    first, second, free = client.handle(), client.handle(), client.handle()
    assert first.lease(session_id).epoch == 1
    assert second.lease(session_id).epoch == 2
    with pytest.raises(stepwell.Fenced):
        first.put_invocation_step(session_id, invocation_id, "from the first")
    second.put_invocation_step(session_id, invocation_id, "from the second")
    free.put_invocation_step(session_id, invocation_id, "from whom never asked")
    first.lease(session_id)
    first.put_invocation_step(session_id, invocation_id, "from the first again")


def test_positions_grow_and_reading_goes_on_behind_one(client: Client) -> None:
    session_id, invocation_id = begin(client)
    put = client.put_invocation_steps(session_id, invocation_id, ["one", "two", "three"])
    assert [step.text for step in client.steps(session_id, after=put[0].position)] == ["two", "three"]
    assert [step.text for step in client.steps(session_id, reverse=True, limit=2)] == ["three", "two"]
    assert client.get_session(session_id).head == put[-1].position


def test_a_fork_keeps_ids_and_times_up_to_its_position(client: Client, clock: ManualClock) -> None:
    session_id, invocation_id = begin(client)
    one = client.put_invocation_step(session_id, invocation_id, "one")
    client.put_invocation_step(session_id, invocation_id, "two")
    clock.go_on(60)
    fork = client.fork(session_id, at=one.position)
    (copied,) = client.steps(fork.session_id)
    assert copied.invocation_step_id == one.invocation_step_id
    assert copied.invocation_step_time == one.invocation_step_time
    client.delete_session(session_id, end=True)
    assert texts(client, fork.session_id) == ["one"]


def test_tail_ends_with_the_session_and_goes_on_behind_a_position(client: Client) -> None:
    session_id, invocation_id = begin(client)
    put = client.put_invocation_steps(session_id, invocation_id, ["one", "two"])
    client.end_session(session_id)
    assert [step.text for step in client.tail(session_id)] == ["one", "two"]
    assert [step.text for step in client.tail(session_id, after=put[0].position)] == ["two"]


def test_a_deleted_session_keeps_its_key_and_comes_back(client: Client, clock: ManualClock) -> None:
    session = client.end_session(client.create_session(key="INC-7").session_id)
    client.delete_session(session.session_id, purge_after=DAY)
    with pytest.raises(stepwell.Conflict):
        client.open_session(key="INC-7")
    assert client.undelete(session.session_id).session_status == "ENDED"
    client.delete_session(session.session_id, purge_after=DAY)
    clock.go_on(24 * HOUR)
    with pytest.raises(stepwell.NotFound):
        client.undelete(session.session_id)
    assert client.open_session(key="INC-7").session_id != session.session_id


def test_what_is_redacted_is_erased_and_the_step_stays(tmp_path: Path) -> None:
    with Client(f"file:{tmp_path}/s") as client:
        session_id, invocation_id = begin(client)
        large = stepwell.Data(data=b"hunter2" * 20_000)
        step = client.put_invocation_step(session_id, invocation_id, ["the password is hunter2", large])
        client.put_invocation_step(session_id, invocation_id, "and on")
        kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
        assert kept
        redaction = client.redact(session_id, invocation_id, step.invocation_step_id, reason="a password")
        assert redaction.remains
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
        assert [found.content for found in client.steps(session_id)] == [
            (stepwell.Redacted(), stepwell.Redacted()),
            (Text(text="and on"),),
        ]
        assert client.verify(session_id).intact


def test_a_trimmed_history_begins_where_it_was_told(client: Client) -> None:
    session_id, invocation_id = begin(client)
    put = [client.put_invocation_step(session_id, invocation_id, str(at)) for at in range(5)]
    client.trim(session_id, before=put[3].position)
    assert texts(client, session_id) == ["3", "4"]
    assert [i.invocation_id for i in client.list_invocations(session_id).items] == [invocation_id]
    assert client.verify(session_id).intact


def test_a_retention_moves_only_to_a_later_time(bedrock: Client) -> None:
    session = bedrock.create_session()
    assert session.expires_at is not None
    later = session.expires_at + DAY
    assert bedrock.extend_retention(session.session_id, until=later).expires_at == later
    assert bedrock.extend_retention(session.session_id, until=session.created_at).expires_at == later


def test_space_is_given_back_a_day_after_a_run_saw_what_is_gone(tmp_path: Path, clock: ManualClock) -> None:
    with Client(f"file:{tmp_path}/s", clock=clock) as client:
        session_id, _ = begin(client)
        client.delete_session(session_id, end=True)
        assert client.gc().pending == 1
        clock.go_on(23 * HOUR)
        assert (client.gc().reclaimed, len(list(tmp_path.rglob("journal.log")))) == (0, 1)
        clock.go_on(HOUR)
        assert (client.gc().reclaimed, len(list(tmp_path.rglob("journal.log")))) == (1, 0)
        assert [record.operation for record in client.audit_records()] == ["purge"]


def test_a_whole_session_verifies_and_can_be_salvaged(client: Client) -> None:
    session_id, invocation_id = begin(client)
    client.put_invocation_steps(session_id, invocation_id, ["one", "two"])
    checked = client.verify(session_id)
    assert (checked.intact, checked.steps) == (True, 2)
    salvaged = client.salvage(session_id)
    assert salvaged.session.session_id != session_id
    assert texts(client, salvaged.session.session_id) == texts(client, session_id) == ["one", "two"]


class Unreliable(MemoryStore):
    """Loses requests or answers while it is told to, and a minute each time."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.loses: Literal["nothing", "requests", "answers"] = "nothing"

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        if self.loses == "nothing":
            return await super().append(journal, slot, record)
        if self.loses == "answers":
            await super().append(journal, slot, record)
        self.clock.go_on(60)
        raise stepwell.OutcomeUnknown("no answer")


def test_an_unknown_outcome_is_settled_by_its_token(clock: ManualClock) -> None:
    store = Unreliable(clock)
    with Client.from_store(lambda ports: store, clock=clock) as client:
        session_id, invocation_id = begin(client)
        store.loses = "answers"
        with pytest.raises(stepwell.OutcomeUnknown) as doubt:
            client.put_invocation_steps(session_id, invocation_id, ["one", "two"])
        store.loses = "nothing"
        resolution = client.resolve(doubt.value.token)
        steps = list(client.steps(session_id))
        assert [step.text for step in steps] == ["one", "two"]
        assert resolution == stepwell.Resolution(outcome="committed", position=steps[0].position)


def test_what_never_arrived_is_absent_for_good(clock: ManualClock) -> None:
    store = Unreliable(clock)
    with Client.from_store(lambda ports: store, clock=clock) as client:
        session_id, invocation_id = begin(client)
        store.loses = "requests"
        with pytest.raises(stepwell.OutcomeUnknown) as doubt:
            client.put_invocation_step(session_id, invocation_id, "lost")
        store.loses = "nothing"
        assert client.resolve(doubt.value.token).outcome == "absent"
        client.put_invocation_step(session_id, invocation_id, "written again")
        assert client.resolve(doubt.value.token).outcome == "absent"
        assert texts(client, session_id) == ["written again"]


class Gated(MemoryStore):
    """Lets no record in while it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        self.asked.set()
        await self.open.wait()
        return await super().append(journal, slot, record)


async def cancelled_writes() -> list[str]:
    """What is there after one write was cancelled on its way, and one while it waited for the first."""
    store = Gated()
    async with stepwell.AsyncClient.from_store(lambda ports: store) as client:
        session_id = (await client.create_session()).session_id
        invocation_id = (await client.create_invocation(session_id)).invocation_id
        store.asked.clear()
        store.open.clear()
        sent = asyncio.ensure_future(client.put_invocation_step(session_id, invocation_id, "sent"))
        await store.asked.wait()
        waiting = asyncio.ensure_future(client.put_invocation_step(session_id, invocation_id, "waiting"))
        await asyncio.sleep(0)
        sent.cancel()
        waiting.cancel()
        await asyncio.wait([sent, waiting])
        store.open.set()
        await client.put_invocation_step(session_id, invocation_id, "later")
        return [step.text async for step in client.steps(session_id)]


def test_cancelling_drops_what_waits_and_finishes_what_was_sent() -> None:
    assert asyncio.run(cancelled_writes()) == ["sent", "later"]


# The tables


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_every_row_of_the_table_is_shown_by_a_test_and_every_test_by_a_row() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    these = {name for name in globals() if name.startswith("test_")}
    assert named == these - {name for name in these if name.startswith("test_every_")}
    assert all(re.search(r"`test_\w+`", row[3]) for row in rows_of("## What AWS leaves open")[1:])


CALLS: dict[str, Callable[[Client, str, str], object]] = {
    "get_session": lambda client, session, _: client.get_session(session),
    "update_session": lambda client, session, _: client.update_session(session, {"a": "b"}),
    "end_session": lambda client, session, _: client.end_session(session),
    "delete_session": lambda client, session, _: client.delete_session(session),
    "delete_session(end=True)": lambda client, session, _: client.delete_session(session, end=True),
    "delete_session(purge_after=…)": lambda client, session, _: client.delete_session(session, purge_after=DAY),
    "undelete": lambda client, session, _: client.undelete(session),
    "redact": lambda client, session, invocation: client.redact(session, invocation, ID, reason="asked for"),
    "trim": lambda client, session, _: client.trim(session, before=Position("0.0")),
    "extend_retention": lambda client, session, _: client.extend_retention(session, until=datetime(2100, 1, 1)),  # noqa: DTZ001
    "verify": lambda client, session, _: client.verify(session),
    "salvage": lambda client, session, _: client.salvage(session),
    "create_invocation": lambda client, session, _: client.create_invocation(session),
    "list_invocations": lambda client, session, _: client.list_invocations(session),
    "put_invocation_step": lambda client, session, invocation: client.put_invocation_step(session, invocation, "x"),
    "put_invocation_steps": lambda client, session, invocation: client.put_invocation_steps(session, invocation, ["x"]),
    "get_invocation_step": lambda client, session, invocation: client.get_invocation_step(session, invocation, ID),
    "list_invocation_steps": lambda client, session, _: client.list_invocation_steps(session),
    "steps": lambda client, session, _: list(client.steps(session)),
    "tail": lambda client, session, _: list(client.tail(session, timeout=0)),
    "tag_resource": lambda client, session, _: client.tag_resource(session, {"a": "b"}),
    "untag_resource": lambda client, session, _: client.untag_resource(session, ["a"]),
    "list_tags_for_resource": lambda client, session, _: client.list_tags_for_resource(session),
    "lease": lambda client, session, _: client.lease(session),
    "fork": lambda client, session, _: client.fork(session),
}


def prepare(state: str, client: Client, session_id: str, clock: ManualClock) -> None:
    """Bring a session into the state that a column is about."""
    match state:
        case "ACTIVE":
            return
        case "EXPIRED":
            clock.go_on(HOUR)
        case "ENDED":
            client.end_session(session_id)
        case "deleted":
            client.delete_session(session_id, end=True, purge_after=DAY)
        case "gone":
            client.delete_session(session_id, end=True)
        case "older lease":
            client.lease(session_id)
            client.handle().lease(session_id)
        case _:
            pytest.fail(f"no such column: {state}")


def cells() -> Iterator[tuple[str, str, str]]:
    header, *rows = rows_of("## Operations and states")
    for names, *outcomes in rows:
        for name in re.findall(r"`([^`]+)`", names):
            for state, outcome in zip(header[1:], outcomes, strict=True):
                yield name, state, outcome.strip("`")


@pytest.mark.parametrize(("name", "state", "outcome"), list(cells()))
def test_every_cell_of_the_table_of_states(
    bedrock: Client, clock: ManualClock, name: str, state: str, outcome: str
) -> None:
    session_id, invocation_id = begin(bedrock)
    bedrock.put_invocation_step(session_id, invocation_id, "x", invocation_step_id=ID)
    prepare(state, bedrock, session_id, clock)
    if outcome == "yes":
        CALLS[name](bedrock, session_id, invocation_id)
        return
    with pytest.raises(stepwell.StepwellError) as refused:
        CALLS[name](bedrock, session_id, invocation_id)
    assert type(refused.value).__name__ == outcome
    assert refused.value.operation == name.partition("(")[0]


def test_every_operation_on_a_session_has_a_row() -> None:
    assert {name for name, _, _ in cells()} == set(CALLS)
