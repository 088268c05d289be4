"""What is measured, said, concluded and drawn."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from PIL import Image

from stepwell.cli.demo import measure
from stepwell.cli.demo.conclude import conclude, verdict
from stepwell.cli.demo.figures import (
    Cpu,
    Disk,
    DiskWatched,
    Figures,
    Load,
    MachineWatched,
    Measurement,
    Memory,
    Process,
    ProcessesWatched,
    as_data,
    describe,
    describe_watched,
    figures_in,
)
from stepwell.cli.demo.plot import BLUE, DEEP, HEIGHT, WIDTH, plot
from stepwell.cli.terminal import size
from stepwell.models import InvocationStep, Position

NOTHING_TOLD = Measurement(datetime(2026, 3, 1, 12, tzinfo=UTC), "Linux 6.1, x86_64", cores=2)
HOSTILE = "\x1b]0;owned\x07[bold red]"


def cpu(*cores: Sequence[float]) -> Cpu:
    """Each core's percentages, one for each fifth of a second."""
    return Cpu(tuple((i + 1) / 5 for i in range(len(cores[0]))), tuple(tuple(core) for core in cores))


BUSY = replace(
    NOTHING_TOLD,
    cpu=cpu([100, 90, 95], [90, 100, 95]),
    load=Load(4.5, 2.0, 1.0),
    memory=Memory(total=8_000_000_000, available=400_000_000),
    disks=(Disk("of the system", used=95_000_000_000, free=5_000_000_000),),
    processes=(Process("ffmpeg", 180.0, 90_000_000), Process("python3", 20.0, 40_000_000, own=True)),
)


def test_what_was_measured_is_said_in_a_sentence_for_each_area() -> None:
    assert describe(BUSY) == [
        "CPU: 2 cores, 95 % busy over 0.6 s; the busiest core 95 %",
        "Load: 4.50, 2.00, 1.00 over 1, 5, 15 minutes on 2 cores",
        "Memory: 400 MB of 8 GB available; swap: none",
        "Disk of the system: 95 GB used, 5 GB free",
        "Busiest processes: ffmpeg 180 %, python3 (this demo) 20 %",
    ]


def test_what_the_system_hides_is_never_said_to_be_zero() -> None:
    assert describe(NOTHING_TOLD) == [
        "CPU: 2 cores; how busy, this system does not tell",
        "Load: this system does not tell",
        "Memory: this system does not tell",
        "Busiest processes: this system does not tell",
    ]


@pytest.mark.parametrize(
    ("watched", "said"),
    [
        (ProcessesWatched((Process("sshd", 0.4, 1),)), "processes: none above 1 %"),
        (MachineWatched(12.4, 2_000_000), "CPU: 12 % busy; memory: 2 MB available"),
        (MachineWatched(None, None), "CPU: this system does not tell; memory: ? available"),
        (DiskWatched(0.0, 1500.0, 7), "disks: reads 0 B/s, writes 1.5 kB/s; 7 B free"),
        (DiskWatched(None, None, None), "disks: reads ?/s, writes ?/s; ? free"),
    ],
)
def test_a_look_is_said_in_one_sentence(watched: ProcessesWatched | MachineWatched | DiskWatched, said: str) -> None:
    assert said == describe_watched(watched)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (1.5e9, "1.5 GB"), (2e15, "2000 TB")]
)
def test_sizes_keep_three_figures(count: float, said: str) -> None:
    assert said == size(count)


def test_figures_come_back_from_a_session_as_they_went_in() -> None:
    figures: list[Figures] = [BUSY, NOTHING_TOLD, MachineWatched(1.5, None), DiskWatched(1.0, 2.0, 3)]
    content = tuple(as_data(one) for one in figures)
    step = InvocationStep(
        session_id="s",
        invocation_id="i",
        invocation_step_id="t",
        invocation_step_time=NOTHING_TOLD.taken_at,
        content=content,
        slot=1,
        position=Position("p"),
    )
    assert figures == figures_in([step])


def test_every_trouble_is_in_the_resolution() -> None:
    findings = conclude([BUSY, MachineWatched(100.0, 200_000_000)])
    expected = (
        "Resolution: the CPU is saturated, work is queueing, memory is short, the disk of the system is nearly full"
    )
    assert expected == verdict(findings)
    assert "At least 200 MB of memory was available, 2 %." in [finding.text for finding in findings]


def test_a_quiet_machine_has_no_trouble_and_its_busiest_program_is_named() -> None:
    looks = [ProcessesWatched((Process("cc1", 80.0, 1),)), ProcessesWatched((Process("cc1", 40.0, 1),))]
    quiet = replace(BUSY, cpu=cpu([5, 5], [1, 1]), load=Load(0.1, 0.2, 0.3), memory=None, disks=())
    findings = conclude([quiet, *looks])
    assert verdict(findings) == "Resolution: nothing wrong was found on this machine"
    assert findings[-1].text == "The busiest program was cc1, at 60 % of a core over 2 looks."


def test_without_a_measurement_nothing_is_called_well() -> None:
    assert verdict(conclude([MachineWatched(1.0, 1)])) == "Resolution: no measurement"


@pytest.mark.parametrize("count", [1, 2, 10, 65, 256])
def test_the_plot_is_a_picture_of_its_size_for_any_number_of_cores(count: int) -> None:
    many = replace(BUSY, cpu=cpu(*[[10.0, 50.0, 100.0]] * count), cores=count)
    assert _opened(plot(many)) == (WIDTH, HEIGHT, "PNG")


def test_the_plot_is_drawn_where_nothing_is_told_and_for_any_name() -> None:
    names = ("", "日本語", "x" * 300, HOSTILE)
    strange = replace(NOTHING_TOLD, processes=tuple(Process(name, 1e6, 0) for name in names))
    assert _opened(plot(NOTHING_TOLD)) == (WIDTH, HEIGHT, "PNG")
    assert _opened(plot(strange)) == (WIDTH, HEIGHT, "PNG")


def test_a_bar_is_as_long_as_its_share() -> None:
    quarter = _pixels(plot(replace(NOTHING_TOLD, memory=Memory(100, 75))), BLUE)
    half = _pixels(plot(replace(NOTHING_TOLD, memory=Memory(100, 50))), BLUE)
    assert half / quarter == pytest.approx(2, rel=0.03)


def test_a_core_is_the_darker_the_busier() -> None:
    idle, busy = (_pixels(plot(replace(NOTHING_TOLD, cpu=cpu([p] * 5))), DEEP) for p in (0.0, 100.0))
    assert idle < busy / 10


def test_an_unusual_load_stands_out() -> None:
    low, high = (plot(replace(NOTHING_TOLD, load=Load(load, load, load))) for load in (1.0, 9.0))
    assert _pixels(low, BLUE) > 0
    assert _pixels(high, BLUE) == 0


def test_a_real_measurement_holds_what_psutil_tells() -> None:
    measured = measure.measure(0.3)
    assert measured.cores >= 1
    assert measured.taken_at.tzinfo is not None
    assert len(describe(measured)) >= 4


def test_a_system_that_tells_nothing_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> Any:
        raise PermissionError(13, "hidden")

    asked = "cpu_percent cpu_times virtual_memory swap_memory disk_usage disk_io_counters getloadavg process_iter"
    for name in asked.split():
        monkeypatch.setattr(psutil, name, refuse)
    measured = measure.measure(0.05)
    assert (
        measured.cpu,
        measured.load,
        measured.memory,
        measured.disks,
        measured.processes,
    ) == (None, None, None, (), ())
    assert MachineWatched(None, None) == measure.MachineWatch().look()
    assert DiskWatched(None, None, None) == measure.DiskWatch().look()


def test_a_process_is_known_by_a_short_printable_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def processes(attributes: Sequence[str]) -> list[SimpleNamespace]:
        assert not {"cmdline", "environ", "cwd", "open_files", "username"} & set(attributes)
        times = SimpleNamespace(user=1.0, system=0.5)
        told = {"pid": 1, "create_time": 1.0, "cpu_times": times, "memory_info": SimpleNamespace(rss=7)}
        return [SimpleNamespace(info={**told, "name": HOSTILE}), SimpleNamespace(info={**told, "cpu_times": None})]

    monkeypatch.setattr(psutil, "process_iter", processes)
    (process,) = measure.ProcessWatch().look().processes
    assert (process.name, process.memory) == ("\\x1b]0;owned\\x07[bold", 7)


def _opened(png: bytes) -> tuple[int, int, str | None]:
    with Image.open(BytesIO(png)) as image:
        image.load()
        return image.width, image.height, image.format


def _pixels(png: bytes, color: tuple[int, int, int]) -> int:
    with Image.open(BytesIO(png)) as image:
        counts = image.convert("RGB").getcolors(1 << 24) or []
    return sum(count for count, found in counts if found == color)
