"""A measurement -> a PNG: what the machine was doing, on one page.

Every axis begins at zero and says where it ends. What the system does not tell is said, and never drawn as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from stepwell.cli.demo.canvas import INK, LINE, SOFT, Box, Canvas, Color, blend
from stepwell.cli.demo.figures import UNTOLD, Cpu, Disk, Load, Measurement, Memory, Process, cores
from stepwell.cli.terminal import size

WIDTH, HEIGHT = 1280, 860
BLUE: Color = (45, 108, 223)
PALE: Color = (225, 235, 250)
DEEP: Color = (19, 54, 138)
AMBER: Color = (226, 125, 43)
TRACK: Color = (237, 240, 245)
ROWS_MAX = 64
"""Strips of the CPU panel; more cores than that share strips."""
_STRIP_HEIGHT = 30.0
_LABELLED_HEIGHT = 15.0
_FULL_SHARE = 0.9


def plot(measured: Measurement) -> bytes:
    """A picture of *measured*, as the bytes of a PNG of `WIDTH` x `HEIGHT`."""
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text((32, 60), "What this machine was doing", 30)
    when = f"{measured.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    about = f"{measured.system}  ·  {cores(measured.cores)}  ·  {when}"
    canvas.text((32, 90), canvas.fitting(about, 15, WIDTH - 64), 15, SOFT)
    _cpu(canvas, Box(32, 114, 776, 404), measured.cpu)
    _processes(canvas, Box(32, 538, 776, 290), measured.processes)
    _load(canvas, Box(828, 114, 420, 236), measured.load, measured.cores)
    _memory(canvas, Box(828, 370, 420, 219), measured.memory)
    _disks(canvas, Box(828, 609, 420, 219), measured.disks)
    return canvas.png()


def _untold(canvas: Canvas, box: Box) -> None:
    canvas.text((box.x, box.y + 24), f"{UNTOLD[0].upper()}{UNTOLD[1:]}.", 15, SOFT)


def _cpu(canvas: Canvas, card: Box, cpu: Cpu | None) -> None:
    note = f"mean of all cores {fmean(cpu.means):.0f} %" if cpu else ""
    box = canvas.card(card, "CPU" if cpu is None else f"CPU over {cpu.seconds:.1f} s", note)
    if cpu is None:
        _untold(canvas, box)
        return
    right = [box.x + 64 + (box.width - 118) * end / cpu.seconds for end in cpu.ends]
    edges = [box.x + 64, *right]
    rows = _rows(cpu.cores)
    inner = box.inside(64, 6, 54, 46)
    height = min(_STRIP_HEIGHT * len(rows), inner.height * 0.55)
    strips = Box(inner.x, inner.bottom - height, inner.width, height)
    _mean_over_time(canvas, inner._replace(height=inner.height - height - 26), edges, cpu)
    _strips(canvas, strips, edges, rows)
    _seconds(canvas, edges, strips.bottom, cpu)
    _legend(canvas, Box(inner.right - 120, box.bottom - 6, 120, 8))


def _mean_over_time(canvas: Canvas, box: Box, edges: Sequence[float], cpu: Cpu) -> None:
    for percent in (0, 50, 100):
        y = box.bottom - box.height * percent / 100
        canvas.line([(box.x, y), (box.right, y)], LINE)
        canvas.text((box.x - 10, y), f"{percent} %", 13, SOFT, "rm")
    tops = [box.bottom - box.height * min(percent, 100) / 100 for percent in cpu.over_time]
    stairs = [
        (x, y) for top, start, end in zip(tops, edges, edges[1:], strict=False) for x, y in ((start, top), (end, top))
    ]
    canvas.area([(edges[0], box.bottom), *stairs, (edges[-1], box.bottom)], PALE)
    canvas.line(stairs, BLUE, 2)


def _strips(canvas: Canvas, box: Box, edges: Sequence[float], rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    """A strip for each row, the darker the busier; labels only where they fit."""
    height = box.height / len(rows)
    gap = 2 if height >= _LABELLED_HEIGHT else 0
    y = box.y
    for label, percents in rows:
        for start, end, percent in zip(edges, edges[1:], percents, strict=False):
            canvas.bar(Box(start, y, end - start, height - gap), blend(PALE, DEEP, percent / 100))
        if height >= _LABELLED_HEIGHT:
            middle = y + (height - gap) / 2
            canvas.text((box.x - 10, middle), label, 13, SOFT, "rm")
            canvas.text((box.right + 10, middle), f"{fmean(percents):.0f} %", 13, INK, "lm")
        y += height
    if height < _LABELLED_HEIGHT:
        canvas.text((box.x - 10, box.y), rows[0][0], 13, SOFT, "rt")
        canvas.text((box.x - 10, y), rows[-1][0], 13, SOFT, "rb")


def _rows(percents: Sequence[tuple[float, ...]]) -> list[tuple[str, tuple[float, ...]]]:
    """Each core and its label; neighbours together, as their mean, where there are too many."""
    together = -(-len(percents) // ROWS_MAX)
    rows: list[tuple[str, tuple[float, ...]]] = []
    for first in range(0, len(percents), together):
        group = percents[first : first + together]
        label = f"core {first}" if len(group) == 1 else f"{first}-{first + len(group) - 1}"
        rows.append((label, tuple(fmean(interval) for interval in zip(*group, strict=True))))
    return rows


def _seconds(canvas: Canvas, edges: Sequence[float], y: float, cpu: Cpu) -> None:
    for second in range(int(cpu.seconds) + 1):
        x = edges[0] + (edges[-1] - edges[0]) * second / cpu.seconds
        canvas.text((x, y + 16), f"{second} s", 13, SOFT, "ms")


def _legend(canvas: Canvas, box: Box) -> None:
    steps = 24
    for step in range(steps):
        part = Box(box.x + box.width * step / steps, box.y, box.width / steps, box.height)
        canvas.bar(part, blend(PALE, DEEP, step / (steps - 1)))
    canvas.text((box.x - 8, box.y + box.height / 2), "a core idle", 13, SOFT, "rm")
    canvas.text((box.right + 8, box.y + box.height / 2), "busy", 13, SOFT, "lm")


def _processes(canvas: Canvas, card: Box, processes: Sequence[Process]) -> None:
    box = canvas.card(card, "Busiest processes", "CPU in % of one core  ·  resident memory")
    if not processes:
        _untold(canvas, box)
        return
    name_width, figures_width = 210.0, 158.0
    full = max(100.0, *(process.cpu for process in processes))
    height = min(box.height / len(processes), 36.0)
    for row, process in enumerate(processes):
        y = box.y + (row + 0.5) * height
        canvas.text((box.x, y), canvas.fitting(process.label, 15, name_width - 14), 15, INK, "lm")
        track = Box(box.x + name_width, y - 8, box.width - name_width - figures_width, 16)
        canvas.bar(track, TRACK, 3)
        canvas.bar(track._replace(width=track.width * process.cpu / full), BLUE, 3)
        canvas.text((track.right + 62, y), f"{process.cpu:.0f} %", 15, INK, "rm")
        canvas.text((box.right, y), size(process.memory), 15, SOFT, "rm")


def _load(canvas: Canvas, card: Box, load: Load | None, count: int) -> None:
    box = canvas.card(card, "Load", "tasks that run or wait")
    if load is None:
        _untold(canvas, box)
        return
    full = max(*load, float(count)) * 1.1
    track = Box(box.x + 62, box.y, box.width - 118, 20)
    for row, (minutes, value) in enumerate(zip((1, 5, 15), load, strict=True)):
        bar = track._replace(y=track.y + 14 + row * 38)
        canvas.text((box.x, bar.y + 10), f"{minutes} min", 14, SOFT, "lm")
        canvas.bar(bar, TRACK, 3)
        canvas.bar(bar._replace(width=bar.width * value / full), AMBER if value > count else BLUE, 3)
        canvas.text((box.right, bar.y + 10), f"{value:.2f}", 15, INK, "rm")
    mark = track.x + track.width * count / full
    canvas.line([(mark, box.y + 8), (mark, box.y + 116)], INK, 1.5)
    canvas.text((mark + 6, box.y + 134), f"{cores(count)}, all busy", 13, SOFT, "rs")


def _memory(canvas: Canvas, card: Box, memory: Memory | None) -> None:
    box = canvas.card(card, "Memory", "" if memory is None else f"{size(memory.total)}")
    if memory is None:
        _untold(canvas, box)
        return
    used = memory.total - memory.available
    words = f"{size(used)} in use, {size(memory.available)} available"
    _gauge(canvas, box, words, used / max(memory.total, 1))
    below = box._replace(y=box.y + 70)
    if memory.swap_total:
        words = f"swap: {size(memory.swap_used)} of {size(memory.swap_total)} in use"
        _gauge(canvas, below, words, memory.swap_used / memory.swap_total)
    else:
        canvas.text((below.x, below.y + 14), "no swap", 15, SOFT)


def _disks(canvas: Canvas, card: Box, disks: Sequence[Disk]) -> None:
    box = canvas.card(card, "Disk")
    if not disks:
        _untold(canvas, box)
    for row, disk in enumerate(disks):
        words = f"{disk.name}: {size(disk.used)} used, {size(disk.free)} free"
        _gauge(canvas, box._replace(y=box.y + 70 * row), words, 1 - disk.free_share)


def _gauge(canvas: Canvas, box: Box, words: str, share: float) -> None:
    """A bar for a share from 0 to 1, amber when it is nearly full, under *words*."""
    share = min(max(share, 0.0), 1.0)
    canvas.text((box.x, box.y + 14), words, 15)
    canvas.text((box.right, box.y + 14), f"{100 * share:.0f} %", 15, INK, "rs")
    track = Box(box.x, box.y + 26, box.width, 18)
    canvas.bar(track, TRACK, 3)
    canvas.bar(track._replace(width=track.width * share), AMBER if share > _FULL_SHARE else BLUE, 3)
