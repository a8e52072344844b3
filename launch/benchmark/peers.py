"""PyTorch on the same networks: tries its configurations, and measures the fastest of them."""

import json
from dataclasses import dataclass
from pathlib import Path

from experiments import BATCH, Network
from machine import Layout, Machine, count
from process import CommandError, run

PROGRAM = Path(__file__).with_name("torch_peer.py")


@dataclass(frozen=True)
class Workload:
    """What a peer does: training, or evaluating 10,000 images."""

    key: str
    network: Network
    trial_steps: int = 0
    steps: int = 0  # of a measurement
    evaluates: bool = False


@dataclass(frozen=True)
class Configuration:
    layout: Layout
    channels_last: bool = False
    bfloat16: bool = False
    batch: int = BATCH

    def __str__(self) -> str:
        parts = [count(self.layout.threads, "thread")]
        if self.layout.ranks > 1:
            parts = [f"{self.layout.ranks} processes x {parts[0]}"]
        parts += ["channels-last"] if self.channels_last else []
        parts += ["bfloat16"] if self.bfloat16 else []
        parts += [f"batch {self.batch}"] if self.batch != BATCH else []
        return ", ".join(parts)

    def arguments(self) -> list[str]:
        arguments = [f"--threads={self.layout.threads}", f"--processes={self.layout.ranks}", f"--batch={self.batch}"]
        arguments += ["--channels-last"] if self.channels_last else []
        return arguments + (["--bfloat16"] if self.bfloat16 else [])


class Peers:
    def __init__(self, python: Path, machine: Machine):
        self.python = python
        self.machine = machine
        self.version = ""
        self.tried: list[dict] = []  # each trial: workload, configuration, seconds or what went wrong

    def configurations(self, workload: Workload) -> list[Configuration]:
        """What is worth a trial. Not among these is torch.compile, which takes a minute to begin and was slower."""
        threads = sorted({1, self.machine.workers, len(self.machine.distinct), self.machine.cores})
        layouts = [Layout(1, number) for number in threads]
        orders = (False, True) if workload.network.name != "mnist_softmax" else (False,)  # of channels
        if workload.evaluates:
            return [
                Configuration(layout, last, batch=batch)
                for layout in layouts
                for last in orders
                for batch in (BATCH, 1000)
            ]
        if self.machine.workers > 1:
            layouts.append(Layout(self.machine.workers, 1))
        found = [Configuration(layout, last) for layout in layouts for last in orders]
        if len(orders) > 1:
            found.append(Configuration(Layout(1, self.machine.cores), channels_last=True, bfloat16=True))
        return found

    def finalists(self, workload: Workload) -> list[Configuration]:
        """The three fastest in fp32, by trials of a short time, all of which are printed.

        Those that took at most twice the least are tried a second time, and the lesser time counts: a moment in
        which the machine was busy must not cost the fastest its place.
        """
        times: dict[Configuration, float] = {}
        for configuration in self.configurations(workload):
            self._try(workload, configuration, times)
        least = min(times.values(), default=0)
        for configuration in [tried for tried, seconds in times.items() if seconds <= 2 * least]:
            self._try(workload, configuration, times)
        return sorted(times, key=times.__getitem__)[:3]

    def _try(self, workload: Workload, configuration: Configuration, times: dict[Configuration, float]) -> None:
        """Into `times` goes the least of all trials in fp32."""
        trial = {"workload": workload.key, "configuration": str(configuration)}
        try:
            seconds = self.measure(workload, configuration, workload.trial_steps)
            trial["seconds"], outcome = seconds, f"{seconds:8.3f} s"
            if not configuration.bfloat16:
                times[configuration] = min(seconds, times.get(configuration, seconds))
        except CommandError as error:
            trial["failure"], outcome = str(error), f"failed: {error.reason}"
        self.tried.append(trial)
        print(f"  {workload.key:<12} {str(configuration):<40} {outcome}", flush=True)

    def measure(self, workload: Workload, configuration: Configuration, steps: int) -> float:
        """Seconds of an epoch, or of an evaluation."""
        network = workload.network
        arguments = [network.name, f"--images={network.images}", f"--labels={network.labels}"]
        arguments += configuration.arguments()
        arguments += ["--evaluate"] if workload.evaluates else [f"--steps={steps}"]
        command = [str(self.python), str(PROGRAM), *arguments]
        if configuration.layout.ranks == 1:  # held to cores as Lockstep is
            command = self.machine.command(configuration.layout, command)
        else:
            command += ["--processors", *map(str, self.machine.distinct)]
        report = json.loads(run(command))
        self.version = report["version"]
        return report["seconds"]
