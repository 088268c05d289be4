"""What is measured, in types and in words. Pure.

Measurement  the machine over a few seconds: Cpu, Load, Memory, Disk, Process; None where the system does not tell
Watched      one look while watching: ProcessesWatched, MachineWatched, DiskWatched

Sizes are in bytes, CPU is in percent: of all cores for a machine, of one core for a process. Every text is printable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field, TypeAdapter

from stepwell.cli.terminal import size
from stepwell.models import Data, InvocationStep

MEDIA_TYPE = "application/json"
UNTOLD = "this system does not tell"


@dataclass(frozen=True, slots=True)
class Cpu:
    """How busy each core was: `cores[core][interval]`; *ends* are seconds since the measuring began."""

    ends: tuple[float, ...]
    cores: tuple[tuple[float, ...], ...]

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return self.ends[-1]

    @property
    def means(self) -> tuple[float, ...]:
        """Each core's mean."""
        return tuple(fmean(core) for core in self.cores)

    @property
    def over_time(self) -> tuple[float, ...]:
        """The mean of all cores, for each interval."""
        return tuple(fmean(interval) for interval in zip(*self.cores, strict=True))


class Load(NamedTuple):
    """How many tasks ran or waited, on average over so many minutes."""

    one: float
    five: float
    fifteen: float


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's memory, which a container's limit does not change."""

    total: int
    available: int
    swap_total: int = 0
    swap_used: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system, named for what lies on it; *free* is what this user may still write."""

    name: str
    used: int
    free: int

    @property
    def free_share(self) -> float:
        """0 to 1, of what this user could write if it were empty."""
        return self.free / max(self.used + self.free, 1)


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its name, and neither command line nor environment, which may hold secrets. *own*: of this demo."""

    name: str
    cpu: float
    memory: int
    own: bool = False

    @property
    def label(self) -> str:
        """Its name, marked if it is the demo's own."""
        return f"{self.name} (this demo)" if self.own else self.name


@dataclass(frozen=True, slots=True)
class Measurement:
    """The machine over a few seconds. *processes* are the busiest, the busiest first."""

    taken_at: datetime
    system: str
    cores: int
    cpu: Cpu | None = None
    load: Load | None = None
    memory: Memory | None = None
    disks: tuple[Disk, ...] = ()
    processes: tuple[Process, ...] = ()
    kind: Literal["measurement"] = field(default="measurement", kw_only=True)


@dataclass(frozen=True, slots=True)
class ProcessesWatched:
    """The busiest processes since the look before, the busiest first."""

    processes: tuple[Process, ...]
    kind: Literal["processes"] = "processes"


@dataclass(frozen=True, slots=True)
class MachineWatched:
    """CPU since the look before, and memory."""

    cpu: float | None
    available: int | None
    kind: Literal["machine"] = "machine"


@dataclass(frozen=True, slots=True)
class DiskWatched:
    """Bytes a second since the look before, all disks together, and what is free on the working folder's."""

    read: float | None
    written: float | None
    free: int | None
    kind: Literal["disk"] = "disk"


Watched: TypeAlias = ProcessesWatched | MachineWatched | DiskWatched
Figures: TypeAlias = Measurement | Watched
_ADAPTER: TypeAdapter[Figures] = TypeAdapter(Annotated[Figures, Field(discriminator="kind")])


def as_data(figures: Figures) -> Data:
    """*figures* as a block of a step."""
    return Data(media_type=MEDIA_TYPE, data=_ADAPTER.dump_json(figures))


def figures_in(steps: Sequence[InvocationStep]) -> list[Figures]:
    """The figures in the steps of a session, in their order."""
    blocks = (block for step in steps for block in step.content)
    return [_ADAPTER.validate_json(block.data) for block in blocks if isinstance(block, Data)]


def describe(measured: Measurement) -> list[str]:
    """*measured* in a sentence for each area."""
    return [
        _cpu(measured),
        _load(measured),
        _memory(measured.memory),
        *(f"Disk {disk.name}: {size(disk.used)} used, {size(disk.free)} free" for disk in measured.disks),
        f"Busiest processes: {_busiest(measured.processes)}",
    ]


def describe_watched(watched: Watched) -> str:
    """*watched* in one sentence."""
    match watched:
        case ProcessesWatched(processes=processes):
            return f"processes: {_busiest(processes)}"
        case MachineWatched(cpu=cpu, available=available):
            busy = UNTOLD if cpu is None else f"{cpu:.0f} % busy"
            return f"CPU: {busy}; memory: {_told_size(available)} available"
        case DiskWatched(read=read, written=written, free=free):
            rates = f"reads {_told_size(read)}/s, writes {_told_size(written)}/s"
            return f"disks: {rates}; {_told_size(free)} free"


def cores(count: int) -> str:
    """A number of cores in words."""
    return "1 core" if count == 1 else f"{count} cores"


def _cpu(measured: Measurement) -> str:
    if (cpu := measured.cpu) is None:
        return f"CPU: {cores(measured.cores)}; how busy, {UNTOLD}"
    return (
        f"CPU: {cores(measured.cores)}, {fmean(cpu.means):.0f} % busy over {cpu.seconds:.1f} s; "
        f"the busiest core {max(cpu.means):.0f} %"
    )


def _load(measured: Measurement) -> str:
    if measured.load is None:
        return f"Load: {UNTOLD}"
    one, five, fifteen = measured.load
    return f"Load: {one:.2f}, {five:.2f}, {fifteen:.2f} over 1, 5, 15 minutes on {cores(measured.cores)}"


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return f"Memory: {UNTOLD}"
    swap = f"{size(memory.swap_used)} of {size(memory.swap_total)} used" if memory.swap_total else "none"
    return f"Memory: {size(memory.available)} of {size(memory.total)} available; swap: {swap}"


def _busiest(processes: Sequence[Process]) -> str:
    if not processes:
        return UNTOLD
    busy = [process for process in processes if process.cpu >= 1][:3]
    return ", ".join(f"{process.label} {process.cpu:.0f} %" for process in busy) or "none above 1 %"


def _told_size(count: float | None) -> str:
    return "?" if count is None else size(count)
