"""Many writers race for one session; what they were told is there, once, in its place, and in order.

    python -m stepwell.testing.writers --writers 64 --steps 50
    python -m stepwell.testing.writers --writers 64 --steps 20 --url dynamodb://table --own-clients

Every process is a new interpreter, with writers on threads that share one client and so their records; with
--own-clients each writer has a client of its own, and all of them race for every slot. They start together. Afterwards
a new client reads everything (faults/history.py). Requests are calls of the store: who loses a slot makes one more.

Without --url, the store is a folder in memory where the system has such a thing; with it, a tenant of its own there.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import ParamSpec, TypeVar

from stepwell import urls
from stepwell.errors import CorruptJournal, OutcomeUnknown, StepwellError
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore
from stepwell.stores.forwarded import Forwarded
from stepwell.sync import Client
from stepwell.testing.command import ended, parser, positive, progress, report
from stepwell.testing.faults.history import Acknowledged, append, check_history
from stepwell.testing.faults.places import in_memory

P = ParamSpec("P")
T = TypeVar("T")

PROCESSES = 8
HANGS_AFTER_SECONDS = 3600.0


class Counted(Forwarded):
    """A store whose calls are counted, by method."""

    def __init__(self, store: JournalStore) -> None:
        super().__init__(store)
        self.calls = Counter[str]()
        self._guard = threading.Lock()

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store below."""
        with self._guard:
            self.calls[method.__name__] += 1
        return await super().call(method, *args, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What one process is to do."""

    url: str
    tenant: str
    session_id: str
    invocation_id: str
    name: str
    writers: int
    steps: int
    own_clients: bool


@dataclass(slots=True)
class Told:
    """What writers were told. *unsettled* steps may be there or not, *refused* ones are not; their texts."""

    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    unsettled: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    requests: Counter[str] = field(default_factory=Counter[str])

    def add(self, other: Told) -> None:
        """Take in what others were told."""
        self.acknowledged += other.acknowledged
        self.unsettled += other.unsettled
        self.refused += other.refused
        self.requests += other.requests


def run(race: Race, start: Callable[[], object]) -> Told:
    """One process: get ready, wait until *start* returns, append; what its writers were told."""
    told = Told()
    with ExitStack() as stack:
        stores: list[Counted] = []

        def open_store(ports: Ports) -> JournalStore:
            stores.append(Counted(urls.parse(race.url).open(ports)))
            return stores[-1]

        made = [
            stack.enter_context(Client.from_store(open_store, tenant=race.tenant))
            for _ in range(race.writers if race.own_clients else 1)
        ]
        for client in made:
            client.get_session(race.session_id)
        for store in stores:
            store.calls.clear()
        start()
        threads = [
            threading.Thread(target=_write, args=(race, made[writer % len(made)], writer, told))
            for writer in range(race.writers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        told.requests = sum((store.calls for store in stores), Counter[str]())
    return told


def _write(race: Race, client: Client, writer: int, told: Told) -> None:
    """One writer. Lists take what is appended from several threads."""
    for step in range(race.steps):
        text = f"{race.name}-{writer}-{step}"
        try:
            told.acknowledged.append(append(client, race.session_id, race.invocation_id, text))
        except OutcomeUnknown:
            told.unsettled.append(text)
        except StepwellError:
            told.refused.append(text)


def race(
    url: str, tenant: str, *, writers: int, steps: int, processes: int = PROCESSES, own_clients: bool = False
) -> Told:
    """Let *writers* put so many *steps* each; what they were told, when it was checked.

    Raises:
        AssertionError: a step was lost, doubled, moved, or is out of order; or a process failed.
    """
    with Client(url, tenant=tenant) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
    shares = [writers // processes + (at < writers % processes) for at in range(processes)]
    races = [
        Race(
            url=url,
            tenant=tenant,
            session_id=session_id,
            invocation_id=invocation_id,
            name=str(at),
            writers=share,
            steps=steps,
            own_clients=own_clients,
        )
        for at, share in enumerate(shares)
        if share
    ]
    told = _together(races)
    assert len(told.acknowledged) + len(told.unsettled) + len(told.refused) == writers * steps
    with Client(url, tenant=tenant) as client:
        check_history(client, session_id, told.acknowledged, told.unsettled)
    return told


def _together(races: Sequence[Race]) -> Told:
    """Start a process for each, and let them go at the same time."""
    running = [_process(race) for race in races]
    told = Told()
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "a process did not start"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for done, process in enumerate(running, 1):
            told.add(_result(process))
            progress(f"{done} of {len(running)} processes are done")
    finally:
        for process in running:
            process.kill()
            process.communicate()
    return told


def _process(race: Race) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stepwell.testing.writers", "--process", json.dumps(asdict(race))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> Told:
    output, _ = process.communicate(timeout=HANGS_AFTER_SECONDS)
    assert process.returncode == 0, f"a process ended with {process.returncode}"
    acknowledged, unsettled, refused, requests = json.loads(output)
    return Told([Acknowledged(*done) for done in acknowledged], unsettled, refused, Counter(requests))


def _be_process(race: Race) -> int:
    """What a process of its own does."""

    def start() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    told = run(race, start)
    print(json.dumps([told.acknowledged, told.unsettled, told.refused, told.requests]))
    return 0


def figures(told: Told, seconds: float) -> dict[str, object]:
    """What is printed."""
    done = len(told.acknowledged)
    requests = sum(told.requests.values())
    return {
        "acknowledged": done,
        "unsettled": len(told.unsettled),
        "refused": len(told.refused),
        "records": len({step.place.slot for step in told.acknowledged}),
        "requests": dict(sorted(told.requests.items())),
        "requests per append": round(requests / done, 2) if done else None,
        "seconds": round(seconds, 1),
    }


@contextmanager
def _place(url: str | None) -> Generator[tuple[str, str]]:
    """A URL, and a tenant there."""
    if url is not None:
        yield url, f"writers-{secrets.token_hex(4)}"
        return
    with tempfile.TemporaryDirectory(prefix="stepwell-writers-", dir=in_memory()) as folder:
        yield f"file:{folder}/store", "default"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if something was lost, doubled or out of order."""
    options = parser("writers", __doc__)
    options.add_argument("--writers", type=positive, default=64, help="how many")
    options.add_argument("--steps", type=positive, default=20, help="of each writer")
    options.add_argument("--processes", type=positive, default=PROCESSES, help="among which writers are divided")
    options.add_argument("--own-clients", action="store_true", help="a client for each writer")
    options.add_argument("--url", help="a store of your own; several processes must be able to use it")
    options.add_argument("--process", help="what one of the processes is to do: not for you")
    given = options.parse_args(arguments)
    if given.process is not None:
        return _be_process(Race(**json.loads(given.process)))
    if (given.url or "").startswith("memory:"):
        options.error("--url: what is in memory is not shared by processes")
    began = time.monotonic()
    with _place(given.url) as (url, tenant):
        Client(url, tenant=tenant).close()  # a URL that is not understood is no loss
        try:
            told = race(
                url,
                tenant,
                writers=given.writers,
                steps=given.steps,
                processes=given.processes,
                own_clients=given.own_clients,
            )
        except (AssertionError, CorruptJournal) as error:  # two writers of one slot break the chain
            print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    report({"writers": given.writers, **figures(told, time.monotonic() - began)}, as_json=given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(ended(main))
