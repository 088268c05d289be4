"""Figures -> findings: what is wrong with the machine, if anything. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from stepwell.cli.demo.figures import (
    UNTOLD,
    Disk,
    DiskWatched,
    Figures,
    MachineWatched,
    Measurement,
    ProcessesWatched,
    cores,
)
from stepwell.cli.terminal import size

CPU_BUSY_PERCENT = 85.0
LOAD_PER_CORE = 1.5
MEMORY_AVAILABLE_PERCENT = 10.0
DISK_FREE_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what is wrong in two words; None if nothing is."""

    text: str
    trouble: str | None = None


def conclude(figures: Sequence[Figures]) -> tuple[Finding, ...]:
    """What the figures of a session say about the machine, all of them taken together."""
    measured = [one for one in figures if isinstance(one, Measurement)]
    if not measured:
        return (Finding("Nothing was measured.", "no measurement"),)
    last = measured[-1]
    machine = [one for one in figures if isinstance(one, MachineWatched)]
    watched = [one for one in figures if isinstance(one, ProcessesWatched)]
    disks = [one for one in figures if isinstance(one, DiskWatched)]
    return (
        _cpu(last, machine),
        _load(last),
        _memory(last, machine),
        *_disks(last, disks),
        _busiest(watched),
    )


def verdict(findings: Sequence[Finding]) -> str:
    """The findings in one line."""
    troubles = [finding.trouble for finding in findings if finding.trouble]
    if not troubles:
        return "Resolution: nothing wrong was found on this machine"
    return "Resolution: " + ", ".join(troubles)


def _cpu(measured: Measurement, watched: Sequence[MachineWatched]) -> Finding:
    busy = list(measured.cpu.over_time) if measured.cpu else []
    busy += [one.cpu for one in watched if one.cpu is not None]
    if not busy:
        return Finding(f"How busy the CPU is, {UNTOLD}.")
    text = f"The CPU was {fmean(busy):.0f} % busy on average, {max(busy):.0f} % at most, in {len(busy)} looks."
    return Finding(text, "the CPU is saturated" if fmean(busy) >= CPU_BUSY_PERCENT else None)


def _load(measured: Measurement) -> Finding:
    if measured.load is None:
        return Finding(f"The load, {UNTOLD}.")
    per_core = measured.load.one / measured.cores
    trend = "rising" if measured.load.one > measured.load.fifteen else "not rising"
    text = f"The load is {measured.load.one:.2f} on {cores(measured.cores)} and {trend}."
    return Finding(text, "work is queueing" if per_core >= LOAD_PER_CORE else None)


def _memory(measured: Measurement, watched: Sequence[MachineWatched]) -> Finding:
    if (memory := measured.memory) is None or memory.total <= 0:
        return Finding(f"How much memory is left, {UNTOLD}.")
    least = min([memory.available, *(one.available for one in watched if one.available is not None)])
    share = 100 * least / memory.total
    text = f"At least {size(least)} of memory was available, {share:.0f} %."
    return Finding(text, "memory is short" if share < MEMORY_AVAILABLE_PERCENT else None)


def _disks(measured: Measurement, watched: Sequence[DiskWatched]) -> Iterator[Finding]:
    yield from (_disk(disk) for disk in measured.disks)
    written = [one.written for one in watched if one.written is not None]
    if written:
        yield Finding(f"The disks took {size(fmean(written))}/s on average, this demo's writes included.")


def _disk(disk: Disk) -> Finding:
    share = 100 * disk.free_share
    text = f"The disk {disk.name} has {size(disk.free)} left, {share:.0f} %."
    return Finding(text, f"the disk {disk.name} is nearly full" if share < DISK_FREE_PERCENT else None)


def _busiest(watched: Sequence[ProcessesWatched]) -> Finding:
    cpu: defaultdict[str, float] = defaultdict(float)
    for look in watched:
        for process in look.processes:
            cpu[process.label] += process.cpu / len(watched)
    if not cpu:
        return Finding("No process was seen to be busy.")
    name = max(cpu, key=lambda label: cpu[label])
    return Finding(f"The busiest program was {name}, at {cpu[name]:.0f} % of a core over {len(watched)} looks.")
