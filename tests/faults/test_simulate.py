from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from stepwell.errors import CorruptJournal, Fenced, NotFound, SessionEnded
from stepwell.journal.record import Record
from stepwell.limits import Limits
from stepwell.models import Position, Resolution
from stepwell.testing.simulate import main, simulate
from stepwell.testing.simulated.calls import Call
from stepwell.testing.simulated.chains import chains
from stepwell.testing.simulated.clients import Client, Handle, Program
from stepwell.testing.simulated.faults import Weather
from stepwell.testing.simulated.history import History, check
from stepwell.testing.simulated.play import Schedule
from stepwell.testing.simulated.schedule import SECOND, World
from stepwell.testing.simulated.stores import PIECE_BYTES, Sliced, Written

SCHEDULES, PARTS = 10_000, 10
"""Hot schedules for each of the stores, in as many tests, so that they end at about the same time everywhere."""
STARTS = range(1, SCHEDULES + 1, SCHEDULES // PARTS)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("seed", STARTS)
@pytest.mark.parametrize("store", ["sliced", "dynamodb", "s3"])
def test_schedules_of_deleting_trimming_redacting_and_collecting_end_as_they_were_told(store: str, seed: int) -> None:
    figures, bad = simulate(SCHEDULES // PARTS, seed, mix="hot", store=store)
    assert (figures["schedules"], bad) == (SCHEDULES // PARTS, [])
    assert figures["unknown"] > 100
    assert figures["cut"] > 100


@pytest.mark.faults
def test_calm_schedules_end_as_they_were_told() -> None:
    figures, bad = simulate(1000, seed=1, mix="calm")
    assert (figures["schedules"], bad) == (1000, [])


@pytest.mark.faults
def test_schedules_on_the_memory_store_end_as_they_were_told() -> None:
    figures, bad = simulate(500, seed=1, mix="hot", store="memory")
    assert (figures["schedules"], bad) == (500, [])


def test_an_upload_that_arrives_behind_a_redaction_brings_nothing_back() -> None:
    """The schedule of this seed sends one three times, and lets an early one arrive last."""
    assert Schedule(1051777, "hot", "sliced").play().faults == ()


def test_a_store_of_ones_own_is_taken_by_name() -> None:
    figures, bad = simulate(3, seed=1, mix="hot", store="stepwell.testing.simulated.stores:Sliced")
    assert (figures["schedules"], bad) == (3, [])


def test_a_seed_is_one_schedule_bit_for_bit() -> None:
    first, again, other = (Schedule(seed, "hot", "sliced", traced=True).play() for seed in (7, 7, 8))
    assert first == again
    assert first.trace != other.trace


def test_the_command_prints_its_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedules", "3", "--seed", "5", "--mix", "calm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schedules"] == 3


# What the checker finds. Each of these plants one fault into a history that has none.


class Recorded:
    """A history without faults: two handles, one session with a key, and what a fault can be planted into."""

    def __init__(self) -> None:
        self.world = World(0)
        self.written = Written(self.world)
        weather, store = Weather(on=False), Sliced(self.world, self.written)
        process = self.world.process("c0")
        client = Client(process, store, weather, Limits.none())
        self.one, self.other = Handle("one", client), Handle("other", client.handle())
        self.program = Program(self.world, {"put": 1.0}, store)
        task = self.world.start(process, self._calls())
        self.world.run(lambda: task.done)
        assert task.error is None
        self.history = History(self.world.calls, chains(self.written.records), self.world.tokens)

    async def _calls(self) -> None:
        record = self.program.record
        one, other = self.one.client, self.other.client
        self.created = await record(self._call("create", key="k"), one.create_session(key="k"))
        self.session = self.created.session = self.created.value.session_id
        self.first, self.second = [await self._put(f"text of step {number}") for number in (1, 2)]
        self.read = await self.program.read(self.one, self.session)
        self.leased = await record(self._call("lease"), other.lease(self.session))
        self.foreign = await record(self._call("update"), other.update_session(self.session, {"by": "another"}))
        self.third = await self._put("text of step 3")
        self.described = await self.program.get(self.one, self.session)
        step = self.second.value[0]
        redact = self._call("redact", invocation=step.invocation_id, step=step.invocation_step_id)
        self.redacted = await record(
            redact,
            one.redact(self.session, step.invocation_id, step.invocation_step_id, reason=redact.reason),
        )
        self.reread = await self.program.read(self.one, self.session)
        self.forked = await record(self._call("fork", origin=self.session, key=None), one.fork(self.session))
        self.forked.session = self.forked.value.session_id

    def _call(self, operation: str, **given: object) -> Call:
        session = None if operation in ("create", "fork") else self.session
        return Call(len(self.world.calls), "test", operation, session, dict(given))

    async def _put(self, text: str) -> Call:
        invocation = self.program.invocations[0]
        call = self._call("put", invocation=invocation, steps=[None], texts=[text], if_head=None, epoch=None)
        put = self.one.client.put_invocation_steps(self.session, invocation, [text], create_invocation=True)
        return await self.program.record(call, put)

    def add(self, operation: str, *, outcome: str = "done", value: object = None, **given: object) -> Call:
        """A call that never was, at the end of the history."""
        call = self._call(operation, **given)
        call.invoked = call.returned = self.world.steps + 1
        call.outcome, call.value = outcome, value  # type: ignore[assignment]
        self.world.calls.append(call)
        return call

    def tell(self, call: Call, position: str) -> None:
        """Let a put have been told another position."""
        call.value = tuple(step.model_copy(update={"position": Position(position)}) for step in call.value)

    def expire_by(self, time: int) -> None:
        """Let the session have had a retention that ends then."""
        chain = self.history.chains[self.session]
        chain.records = [_expiring(record, time) for record in chain.records]

    def drop_last_record(self) -> Record:
        """Let the last record never have been durable."""
        journal = next(iter(self.written.records))
        self.written.records[journal].pop()
        self.history = History(self.world.calls, chains(self.written.records), self.world.tokens)
        return self.history.chains[self.session].records[-1]

    def end(self, *, left: list[bytes] | None = None, **calls: Call) -> None:
        """Let the history have an end at which everything was collected."""
        self.history = replace(
            self.history, final=list(calls.values()), collected=True, left={self.session: left or []}
        )


def _expiring(record: Record, time: int) -> Record:
    fields = list(record.fields)
    fields[11] = time
    return record._replace(fields=tuple(fields))


Plant = Callable[[Recorded], str]
"""Plants a fault, and says what the checker is to say."""
PLANTED: list[Plant] = []


def planted(plant: Plant) -> Plant:
    """Note a plant."""
    PLANTED.append(plant)
    return plant


@planted
def lost(r: Recorded) -> str:
    r.drop_last_record()
    return "was acknowledged, and is not on the chain"


@planted
def moved(r: Recorded) -> str:
    r.tell(r.first, r.second.value[0].position)
    return "where another step is"


@planted
def nowhere(r: Recorded) -> str:
    r.tell(r.first, "99.0")
    return "where no step is"


@planted
def twice(r: Recorded) -> str:
    r.history.own[r.first] *= 2
    return "lies on the chain more than once"


@planted
def refused_and_there(r: Recorded) -> str:
    r.first.outcome = "refused"
    return "was refused, and lies on the chain"


@planted
def in_part(r: Recorded) -> str:
    r.first.outcome = "unknown"
    r.first.given["steps"] = [None, None]
    return "lies on the chain in part"


@planted
def before_durable(r: Recorded) -> str:
    r.history.chains[r.session].durable[r.history.own[r.first][0][1].slot] = 10_000
    return "was acknowledged before it was durable"


@planted
def overtaken(r: Recorded) -> str:
    r.third.invoked, r.third.returned = 0, 0
    return "was over before"


@planted
def absent_and_there(r: Recorded) -> str:
    r.add("resolve", value=Resolution(outcome="absent"), of=r.first.number)
    return "answered absent"


@planted
def committed_elsewhere(r: Recorded) -> str:
    position = Position(r.second.value[0].position)
    r.add("resolve", value=Resolution(outcome="committed", position=position), of=r.first.number)
    return "answered committed"


@planted
def read_short(r: Recorded) -> str:
    r.read.value = r.read.value[:1]
    return "which was at no moment"


@planted
def described_stale(r: Recorded) -> str:
    r.described.value = r.described.value.model_copy(update={"head": Position("1.0")})
    return "which was at no moment"


@planted
def read_altered(r: Recorded) -> str:
    r.first.given["texts"] = ["another text"]
    return "read another text"


@planted
def read_redacted(r: Recorded) -> str:
    r.reread.value = [*r.read.value, *r.third.value]
    return "what was redacted before"


@planted
def read_as_redacted(r: Recorded) -> str:
    r.read.value = r.reread.value[:2]
    return "as redacted what was not"


@planted
def not_found(r: Recorded) -> str:
    r.read.outcome, r.read.error = "refused", NotFound("no such session")
    return "did not find a session that is there"


@planted
def behind_a_lease(r: Recorded) -> str:
    r.third.given["epoch"] = 0
    return "behind lease 1"


@planted
def behind_a_foreign_event(r: Recorded) -> str:
    r.third.given["if_head"] = r.second.value[0].position
    return "which is foreign"


@planted
def two_of_a_key(r: Recorded) -> str:
    made = r.add("create", key="k")
    made.session = "another"
    r.history.chains = {**r.history.chains, "another": r.history.chains[r.session]}
    return "and both live"


@planted
def read_expired(r: Recorded) -> str:
    r.expire_by(r.read.invoked_at - 2 * SECOND)
    return "read a session that had expired"


@planted
def not_found_in_time(r: Recorded) -> str:
    r.expire_by(r.read.latest + 1)
    r.read.outcome, r.read.error = "refused", NotFound("no such session")
    return "did not find a session that is there"


@planted
def blob_left_in_part(r: Recorded) -> str:
    r.end(gc=r.add("gc"), left=[b"xx" + r.second.given["texts"][0].encode()[:PIECE_BYTES]])
    return "which was redacted"


@planted
def not_gone(r: Recorded) -> str:
    r.add("delete")
    r.add("get", value=r.described.value).invoked += 1
    return "had deleted"


@planted
def refused_and_made(r: Recorded) -> str:
    r.created.outcome = "refused"
    return "was refused, and session"


@planted
def not_listed(r: Recorded) -> str:
    r.end(gc=r.add("gc"), listed=r.add("sessions", value=[], deleted=False))
    return "does not list"


@planted
def not_under_its_key(r: Recorded) -> str:
    r.end(gc=r.add("gc"), found=r.add("find", outcome="refused", key="k"))
    return "does not find"


@planted
def redacted_bytes_left(r: Recorded) -> str:
    r.end(gc=r.add("gc"), left=[b"xx text of step 2 xx"])
    return "which was redacted"


@planted
def not_collected(r: Recorded) -> str:
    r.end(gc=r.add("gc"))
    r.history.left = {"a session that never was": [b"record"]}
    return "were not collected"


@planted
def corrupt(r: Recorded) -> str:
    r.add("steps", outcome="refused").error = CorruptJournal("damaged")
    return "which nothing caused"


@planted
def no_type(r: Recorded) -> str:
    r.add("steps", outcome="unknown").error = KeyError("x")
    return "an error of no type"


@planted
def forked_in_part(r: Recorded) -> str:
    r.history.chains[r.forked.session or ""].steps.pop()
    return "which its origin did at no moment"


@planted
def refused_as_ended(r: Recorded) -> str:
    r.third.outcome, r.third.error = "refused", SessionEnded("it was ended")
    return "the session was never ended"


@planted
def refused_as_fenced(r: Recorded) -> str:
    r.third.outcome, r.third.error, r.third.given["epoch"] = "refused", Fenced("it was taken over"), 1
    return "nobody took the lease over"


@planted
def redacted_and_still_there(r: Recorded) -> str:
    r.redacted.given["still there"] = True
    return "the text is still stored"


@planted
def unknown_for_ever(r: Recorded) -> str:
    r.end(gc=r.add("gc"), resolved=r.add("resolve", value=Resolution(outcome="unknown"), of=r.first.number))
    return "answered unknown"


@planted
def redacted_another(r: Recorded) -> str:
    r.add("redact", invocation=r.first.value[0].invocation_id, step=r.first.value[0].invocation_step_id)
    return "was acknowledged, and is not on the chain"


def test_a_history_without_faults_has_none() -> None:
    assert check(Recorded().history) == []


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_check_finds_a_planted_fault(plant: Plant) -> None:
    recorded = Recorded()
    expected = plant(recorded)
    found = check(recorded.history)
    assert [fault for fault in found if expected in fault], found
