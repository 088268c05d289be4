"""psutil -> figures.

Whatever the system hides, as containers do, is None or missing in the figures; nothing here raises for that. Of
processes only name, CPU and memory are read.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import psutil

from stepwell.cli.demo.figures import (
    Cpu,
    Disk,
    DiskWatched,
    Load,
    MachineWatched,
    Measurement,
    Memory,
    Process,
    ProcessesWatched,
)
from stepwell.cli.terminal import printable

T = TypeVar("T")

INTERVAL_SECONDS = 0.2
BUSIEST = 6
PROCESSES_MAX = 5000
NAME_CHARACTERS = 15
"""What Linux keeps of a name. psutil lengthens it from the command line, which is not to be shown."""

_REFUSALS = (psutil.Error, OSError, NotImplementedError, RuntimeError, AttributeError, LookupError, ValueError)
"""How psutil says that a system does not tell something."""


def told(ask: Callable[[], T]) -> T | None:
    """What *ask* returns; None where the system refuses or does not know."""
    try:
        return ask()
    except _REFUSALS:
        return None


def measure(seconds: float) -> Measurement:
    """The machine over so many seconds."""
    processes = ProcessWatch()
    cpu = _cpu(seconds)
    return Measurement(
        taken_at=datetime.now(UTC),
        system=printable(f"{platform.system()} {platform.release()}, {platform.machine()}"),
        cores=len(cpu.cores) if cpu else os.cpu_count() or 1,
        cpu=cpu,
        load=told(lambda: Load(*psutil.getloadavg())),
        memory=told(_memory),
        disks=tuple(_disks()),
        processes=processes.look().processes,
    )


class ProcessWatch:
    """The busiest processes between one look and the next."""

    def __init__(self) -> None:
        self._family = {os.getpid(), os.getppid()}
        self._moment = time.monotonic()
        self._before = {key: used for key, used, _, _ in told(lambda: list(_scan())) or []}

    def look(self) -> ProcessesWatched:
        """The busiest since the look before."""
        now = time.monotonic()
        elapsed = max(now - self._moment, 0.001)
        seen = told(lambda: list(_scan())) or []
        busy = [
            Process(
                name=name,
                cpu=100 * max(0.0, used - self._before.get(key, 0.0)) / elapsed,
                memory=memory,
                own=key[0] in self._family,
            )
            for key, used, name, memory in seen
        ]
        self._moment, self._before = now, {key: used for key, used, _, _ in seen}
        busy.sort(key=lambda process: (-process.cpu, -process.memory))
        return ProcessesWatched(tuple(busy[:BUSIEST]))


class MachineWatch:
    """CPU between one look and the next, and memory."""

    def __init__(self) -> None:
        told(_percents)  # psutil measures from the call before

    def look(self) -> MachineWatched:
        """CPU since the look before, and memory now."""
        percents = told(_percents)
        memory = told(_memory)
        return MachineWatched(fmean(percents) if percents else None, memory.available if memory else None)


class DiskWatch:
    """What the disks read and write between one look and the next."""

    def __init__(self) -> None:
        self._moment = time.monotonic()
        self._before = told(_transferred)

    def look(self) -> DiskWatched:
        """Rates since the look before, and the space on the disk of the working folder now."""
        now, transferred = time.monotonic(), told(_transferred)
        elapsed = max(now - self._moment, 0.001)
        read = written = None
        if transferred is not None and self._before is not None:
            read, written = ((t - b) / elapsed for t, b in zip(transferred, self._before, strict=True))
        self._moment, self._before = now, transferred
        return DiskWatched(read, written, told(lambda: psutil.disk_usage(".").free))


def _cpu(seconds: float) -> Cpu | None:
    started = time.monotonic()
    ends: list[float] = []
    looks: list[list[float]] = []
    told(_percents)
    while (passed := time.monotonic() - started) < seconds:
        time.sleep(min(INTERVAL_SECONDS, seconds - passed))
        if percents := told(_percents):
            ends.append(time.monotonic() - started)
            looks.append(percents)
    if not looks:
        return None
    return Cpu(tuple(ends), tuple(zip(*looks, strict=False)))  # a core may come or go meanwhile


def _percents() -> list[float]:
    if not any(psutil.cpu_times()):
        raise NotImplementedError("a sandbox that does not count")
    return psutil.cpu_percent(percpu=True)


def _memory() -> Memory:
    memory = psutil.virtual_memory()
    swap = told(psutil.swap_memory)
    return Memory(memory.total, memory.available, swap.total if swap else 0, swap.used if swap else 0)


def _disks() -> Iterator[Disk]:
    seen: set[int] = set()
    for name, path in (("of the system", "/"), ("of this folder", ".")):
        device = told(partial(_device, path))
        usage = told(partial(psutil.disk_usage, path))
        if device is not None and usage is not None and device not in seen:
            seen.add(device)
            yield Disk(name, usage.used, usage.free)


def _device(path: str) -> int:
    return Path(path).stat().st_dev


def _transferred() -> tuple[int, int]:
    counters = psutil.disk_io_counters()
    if counters is None:
        raise NotImplementedError("no disks to be seen")
    return counters.read_bytes, counters.write_bytes


def _scan() -> Iterator[tuple[tuple[int, float], float, str, int]]:
    """Of each process: pid and start, which name it for good; CPU seconds so far; name; resident memory."""
    attributes = ["pid", "name", "create_time", "cpu_times", "memory_info"]
    for process in islice(psutil.process_iter(attributes), PROCESSES_MAX):
        told_of = process.info
        if (times := told_of["cpu_times"]) is not None and told_of["create_time"] is not None:
            memory = told_of["memory_info"]
            name = printable((told_of["name"] or "?")[:NAME_CHARACTERS])
            yield (
                (told_of["pid"], told_of["create_time"]),
                times.user + times.system,
                name,
                memory.rss if memory else 0,
            )
