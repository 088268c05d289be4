"""What a writer hears when requests and replies are lost, delayed, or overtaken by a day's sleep."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stepwell import (
    AlreadyExists,
    Client,
    Limits,
    NotFound,
    OutcomeUnknown,
    SessionEnded,
    SessionExpired,
    Throttled,
)
from stepwell.ids import uuid_text
from tests.unit.worlds import LOST_REPLY, LOST_REQUEST, THROTTLED, Fate, World, fresh_uuid

HOUR = 3600.0


@pytest.fixture
def world() -> World:
    return World()


def begun(world: World) -> tuple[Client, str, str]:
    client = world.client()
    session = client.create_session().session_id
    invocation = client.create_invocation(session).invocation_id
    world.store.sent.clear()
    return client, session, invocation


def texts(client: Client, session: str) -> list[str]:
    return [step.text for step in client.steps(session)]


@pytest.mark.parametrize("losses", [1, 2, 3])
@pytest.mark.parametrize("fate", [LOST_REPLY, LOST_REQUEST])
def test_a_lost_message_is_made_good_by_sending_the_same_bytes_to_the_same_slot(
    world: World, losses: int, fate: Fate
) -> None:
    client, session, invocation = begun(world)
    world.store.fates = [fate] * losses

    step = client.put_invocation_step(session, invocation, "once")

    assert {(sent.slot, sent.record) for sent in world.store.sent} == {(step.slot, world.store.sent[0].record)}
    assert len(world.store.sent) == losses + 1
    assert texts(world.client(), session) == ["once"]


def test_a_write_that_stays_in_doubt_is_never_called_failed(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = LOST_REPLY

    with pytest.raises(OutcomeUnknown) as unknown:
        client.put_invocation_step(session, invocation, "maybe")
    world.store.always = Fate()

    resolution = world.client().resolve(unknown.value.token)
    assert (resolution.outcome, resolution.position) == ("committed", "2.0")
    assert unknown.value.session_id == session
    assert not unknown.value.retryable


def test_absence_is_answered_only_once_the_slot_is_taken(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = LOST_REQUEST
    with pytest.raises(OutcomeUnknown) as unknown:
        client.put_invocation_step(session, invocation, "lost")
    late = world.store.sent[-1]
    world.store.always = Fate()

    assert world.client().resolve(unknown.value.token).outcome == "absent"
    assert world.store.records()[late.slot].data != late.record
    assert texts(world.client(), session) == []
    assert world.client().resolve(unknown.value.token).outcome == "absent"


def test_grounds_of_a_refusal_that_are_in_doubt_are_never_called_committed(world: World) -> None:
    client = world.client(Limits(idle_timeout=timedelta(hours=1)))
    session = client.create_session().session_id
    world.clock.pass_seconds(2 * HOUR)
    world.store.always = LOST_REPLY
    with pytest.raises(OutcomeUnknown) as unknown:
        client.update_session(session, {"too": "late"})
    world.store.always = Fate()

    assert world.client().resolve(unknown.value.token).outcome == "absent"
    with pytest.raises(SessionExpired):
        client.update_session(session, {"too": "late"})


def test_the_next_write_settles_the_one_before_it(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = LOST_REPLY
    with pytest.raises(OutcomeUnknown) as unknown:
        client.put_invocation_step(session, invocation, "first")
    world.store.always = Fate()

    second = client.put_invocation_step(session, invocation, "second")

    assert world.store.sent[-2].slot == 2
    assert second.slot == 3
    assert texts(client, session) == ["first", "second"]
    assert client.resolve(unknown.value.token).outcome == "committed"


def test_a_throttled_write_is_called_throttled_and_writes_nothing(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = THROTTLED
    began = world.clock.now

    with pytest.raises(Throttled) as throttled:
        client.put_invocation_step(session, invocation, "later")
    world.store.always = Fate()

    assert throttled.value.retryable
    assert throttled.value.operation == "put_invocation_step"
    assert 1 < len(world.store.sent) <= 10
    assert (world.clock.now - began) / 1e6 <= 30
    assert texts(client, session) == []


def test_a_throttled_write_after_a_doubtful_attempt_is_in_doubt(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.fates = [LOST_REQUEST]
    world.store.always = THROTTLED
    with pytest.raises(OutcomeUnknown):
        client.put_invocation_step(session, invocation, "maybe")


def test_an_outage_is_not_answered_with_a_flood(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = THROTTLED
    calls = 1000
    for _ in range(calls):
        with pytest.raises(Throttled):
            client.put_invocation_step(session, invocation, "x")
    assert len(world.store.sent) <= 1.2 * calls


def test_a_writer_that_slept_finds_its_record_again_before_it_acknowledges(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.fates = [Fate(meanwhile=lambda: world.clock.pass_seconds(7 * HOUR))]
    world.store.reads.clear()

    step = client.put_invocation_step(session, invocation, "slow")

    assert (step.slot, step.slot) in world.store.reads
    assert texts(client, session) == ["slow"]


def test_a_writer_that_slept_through_the_reclaiming_of_its_session_is_told_nothing_good(world: World) -> None:
    client, session, invocation = begun(world)

    def a_day_passes() -> None:
        world.clock.pass_seconds(30 * HOUR)
        world.store.wipe()

    world.store.fates = [Fate(meanwhile=a_day_passes)]
    with pytest.raises(OutcomeUnknown):
        client.put_invocation_step(session, invocation, "into the void")


def test_a_view_that_grows_old_is_read_on_before_a_write(world: World) -> None:
    client, session, invocation = begun(world)
    client.put_invocation_step(session, invocation, "one")
    world.store.reads.clear()
    client.put_invocation_step(session, invocation, "warm")
    assert world.store.reads == []

    world.clock.pass_seconds(4 * HOUR)
    client.put_invocation_step(session, invocation, "read on")
    assert world.store.reads == [(3, None)]


def test_what_a_failed_condition_returned_does_not_renew_a_view(world: World) -> None:
    client, session, invocation = begun(world)
    world.clock.pass_seconds(2.9 * HOUR)
    other = world.client()
    other.put_invocation_step(session, invocation, "theirs")
    world.store.reads.clear()
    world.store.fates = [Fate(meanwhile=lambda: world.clock.pass_seconds(3.2 * HOUR))]

    client.put_invocation_step(session, invocation, "mine")  # conflicts, folds the winner, and is too old by then

    assert world.store.reads != []
    assert texts(client, session) == ["theirs", "mine"]


def test_a_second_writer_is_folded_without_a_read(world: World) -> None:
    client, session, invocation = begun(world)
    world.client().put_invocation_step(session, invocation, "theirs")
    world.store.reads.clear()
    world.store.sent.clear()

    client.put_invocation_step(session, invocation, "mine")

    assert [sent.slot for sent in world.store.sent] == [2, 3]
    assert world.store.reads == []


def test_a_refusal_is_never_drawn_from_memory(world: World) -> None:
    client, session, _ = begun(world)
    invocation = fresh_uuid()
    world.client().create_invocation(session, invocation_id=invocation)

    assert client.put_invocation_step(session, invocation, "known by now").text == "known by now"


def test_a_creation_in_doubt_is_finished_by_resolve(world: World) -> None:
    client = world.client()
    world.store.always = LOST_REPLY
    with pytest.raises(OutcomeUnknown) as unknown:
        client.create_session(key="INC-7")
    world.store.always = Fate()
    with pytest.raises(NotFound):
        client.get_session(key="INC-7")

    assert client.resolve(unknown.value.token).outcome == "committed"
    assert client.get_session(key="INC-7").session_id == unknown.value.session_id
    assert [session.key for session in client.sessions()] == ["INC-7"]


def test_a_creation_in_doubt_whose_key_went_to_another_is_absent(world: World) -> None:
    client = world.client()
    world.store.always = LOST_REPLY
    with pytest.raises(OutcomeUnknown) as unknown:
        client.create_session(key="INC-7")
    world.store.always = Fate()
    other = world.client().create_session(key="INC-7")

    assert client.resolve(unknown.value.token).outcome == "absent"
    assert client.get_session(key="INC-7").session_id == other.session_id
    with pytest.raises(NotFound):
        client.get_session(unknown.value.session_id)


def test_a_creation_that_never_arrived_is_absent_and_stays_so(world: World) -> None:
    client = world.client()
    world.store.always = LOST_REQUEST
    with pytest.raises(OutcomeUnknown) as unknown:
        client.create_session(key="INC-7")
    world.store.always = Fate()

    assert world.client().resolve(unknown.value.token).outcome == "absent"
    assert list(client.sessions()) == []
    assert client.create_session(key="INC-7").key == "INC-7"


def test_the_loser_of_a_race_for_a_key_leaves_nothing_behind(world: World) -> None:
    winner, loser = world.client(), world.client()
    world.store.fates = [Fate(meanwhile=lambda: winner.create_session(key="INC-7"))]

    with pytest.raises(AlreadyExists):
        loser.create_session(key="INC-7")

    assert len(list(loser.sessions())) == 1
    with pytest.raises(NotFound):
        loser.get_session(open_id(world, 0))


def open_id(world: World, number: int) -> str:
    return uuid_text(world.store.all_journals()[number].session)


def test_after_an_acknowledged_end_no_late_write_slips_in(world: World) -> None:
    client, session, invocation = begun(world)
    world.store.always = LOST_REQUEST
    with pytest.raises(OutcomeUnknown) as unknown:
        client.put_invocation_step(session, invocation, "late")
    late = world.store.sent[-1]
    world.store.always = Fate()

    world.client().end_session(session)

    assert client.resolve(unknown.value.token).outcome == "absent"
    assert late.slot == 2
    with pytest.raises(SessionEnded):
        client.put_invocation_step(session, invocation, "too late")
