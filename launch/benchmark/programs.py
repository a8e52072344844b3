"""Lockstep and the project's benchmark programs: what one run of each took."""

import csv
import json
import shutil
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from experiments import Network
from machine import Layout, Machine
from process import run


@dataclass(frozen=True)
class Programs:
    """Paths of what benchmark.sh built."""

    lockstep: Path
    onednn_benchmark: Path
    fma_benchmark: Path


@dataclass(frozen=True)
class Training:
    """What one run of `lockstep train` took."""

    epoch: float  # seconds of training
    evaluation: float | None  # seconds of validation after an epoch
    start: float  # seconds to the first step
    memory: float  # MB of the largest rank


def report_of(program: Path, *arguments: str) -> dict:
    """What one of the benchmark programs says as JSON."""
    return json.loads(run([str(program), *arguments, "--json"]))


class Lockstep:
    def __init__(self, program: Path, machine: Machine, scratch: Path):
        self.program = program
        self.machine = machine
        self.scratch = scratch

    def train(self, network: Network, layout: Layout, *overrides: str) -> Training:
        return self._train(network, self.machine.command(layout, [str(self.program)]), "run", layout, overrides)

    def copies(self, network: Network) -> float:
        """Samples a second of two independent trainings at the same time, each with a core of its own."""

        def one(processor: int) -> Training:
            command = ["taskset", "-c", str(processor), str(self.program)]
            return self._train(network, command, f"copy{processor}", Layout(1, 1), ())

        with ThreadPoolExecutor(2) as pool:
            return sum(network.samples / each.epoch for each in pool.map(one, self.machine.distinct[:2]))

    def version(self) -> str:
        return run([str(self.program), "--version"]).strip()

    def plan(self, network: Network) -> str:
        return run([str(self.program), "plan", str(network.file)])

    def _train(
        self, network: Network, command: list[str], name: str, layout: Layout, overrides: tuple[str, ...]
    ) -> Training:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        settings = {
            "training.epochs": network.epochs,
            "device.threads": layout.threads,
            "output.dir": self.scratch,
            "output.name": name,
            "output.progress": "off",
        }
        assignments = [f"{key}={value}" for key, value in settings.items()]
        run([*command, "train", str(network.file), *assignments, *network.overrides, *overrides])
        training = read_run(folder, network.samples)
        shutil.rmtree(folder)
        return training


def read_run(folder: Path, samples: int) -> Training:
    """From the folder of a finished run: medians over its epochs but the first, if there are several."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = rows[1:] or rows
    epochs = [samples / float(row["samples_per_second"]) for row in rows]
    evaluations = [float(row["seconds"]) - epoch for row, epoch in zip(rows, epochs, strict=True) if row["val_loss"]]
    summary = json.loads((folder / "summary.json").read_text())
    return Training(
        epoch=statistics.median(epochs),
        evaluation=statistics.median(evaluations) if evaluations else None,
        start=summary["startup_seconds"],
        memory=summary["peak_memory_bytes"] / 1e6,
    )
