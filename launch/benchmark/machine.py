"""The machine that a benchmark runs on."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(frozen=True)
class Layout:
    """How a training uses the machine."""

    ranks: int
    threads: int  # of each rank

    def __str__(self) -> str:
        return f"{count(self.ranks, 'rank')} x {count(self.threads, 'thread')}"


@dataclass(frozen=True)
class Machine:
    cores: int  # processors that may be used
    distinct: list[int]  # a processor of each physical core

    @property
    def workers(self) -> int:
        """As many as an experiment of 8 shards can use, as ranks or as threads of one."""
        return min(self.cores, 8)

    def layouts(self) -> list[Layout]:
        """One core, then all that can be used; and two, where these are others."""
        numbers = sorted({2, self.workers}) if self.workers > 1 else []
        return [Layout(1, 1)] + [layout for n in numbers for layout in (Layout(1, n), Layout(n, 1))]

    def command(self, layout: Layout, program: list[str]) -> list[str]:
        """The program on so many ranks, each bound to a core of its own if there are enough; or a single one, held to
        as many cores as it has threads."""
        if layout.ranks == 1:
            if layout.threads > len(self.distinct):
                return program
            return ["taskset", "-c", ",".join(map(str, self.distinct[: layout.threads])), *program]
        mpirun = ["mpirun", "-n", str(layout.ranks)]
        if layout.ranks <= len(self.distinct):
            mpirun += ["--bind-to", "core"]
        else:  # mpirun counts a slot for each core
            mpirun += ["--bind-to", "none", "--oversubscribe"]
        if os.geteuid() == 0:
            mpirun += ["--allow-run-as-root"]
        return mpirun + program


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
