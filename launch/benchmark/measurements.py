"""What is measured in a round."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from arithmetic import useful_operations
from experiments import BATCH, Network, cifar_network, mnist_network
from machine import Layout, Machine, count
from peers import Configuration, Peers, Workload
from process import CommandError
from programs import Lockstep, Programs, Training, report_of
from results import Results


# In a round. What a shared machine gives changes from minute to minute by more than two threads, two ranks and two
# copies differ, so these are compared within seconds, and often.
SCALING_REPETITIONS = 3


class Measurements:
    """Series have keys such as "cnn.2 ranks x 1 thread"; aims.py reads them by their beginnings."""

    def __init__(self, programs: Programs, machine: Machine, peers: Peers | None, quick: bool, scratch: Path):
        self.programs = programs
        self.machine = machine
        self.quick = quick
        self.lockstep = Lockstep(programs.lockstep, machine, scratch)
        self.cnn = mnist_network("mnist_cnn", epochs=1, test_images=quick)
        self.softmax = mnist_network("mnist_softmax", epochs=6, test_images=quick)
        self.cifar = cifar_network(programs.lockstep, samples=256 if quick else 1280)
        self.operations = useful_operations(self.lockstep.plan(self.cnn))
        self.results = Results()
        self.instruction_set = ""
        self.tasks: list[Callable[[], object]] = []
        self._plan_limits()
        self._plan_trainings()
        self._plan_variants()
        if peers:
            self._plan_peers(peers)

    def run(self, rounds: int) -> tuple[int, str]:
        """As many rounds as end, and why the next did not, if one failed or was interrupted. The first must end."""
        for number in range(1, rounds + 1):
            print(f"Round {number} of {rounds}", flush=True)
            lengths = self.results.lengths()
            try:
                self.round(number)
            except (CommandError, KeyboardInterrupt) as error:
                if number == 1:
                    raise
                self.results.cut(lengths)
                return number - 1, str(error) or "interrupted"
        return rounds, ""

    def round(self, number: int) -> None:
        """All measurements, every other time in reverse, so that a machine that slows down favours nobody."""
        for task in self.tasks if number % 2 else reversed(self.tasks):
            task()

    def _plan_limits(self) -> None:
        self.tasks.append(self._peak)
        for threads in sorted({1, self.machine.cores}):
            self.tasks.append(partial(self._primitives, threads))

    def _peak(self) -> None:
        cores = self.machine.workers
        report = report_of(self.programs.fma_benchmark, f"--threads={cores}")
        self.results.add("peak.one", "FMA peak, one core", "GFLOP/s", report["one_gflops"])
        self.results.add("peak.all", f"FMA peak, {count(cores, 'core')} at once", "GFLOP/s", report["all_gflops"])
        limit = self.operations * self.cnn.samples / (1e9 * report["all_gflops"])
        megaflops = self.operations / 1e6
        self.results.add("limit", f"useful {megaflops:.1f} MFLOP a sample of mnist_cnn at that peak", "s", limit)

    def _primitives(self, threads: int) -> None:
        report = report_of(self.programs.onednn_benchmark, f"--threads={threads}", f"--batch={BATCH}")
        self.instruction_set = report["instruction_set"]
        seconds = report["step_milliseconds"] / 1000 * self.cnn.samples / BATCH
        label = f"oneDNN's primitives alone for mnist_cnn, {count(threads, 'thread')}"
        self.results.add(f"primitives.{threads}", label, "s", seconds)

    def _plan_trainings(self) -> None:
        layouts = self.machine.layouts()
        for layout in layouts:
            self.tasks.append(partial(self._train_cnn, layout))
        if len(self.machine.distinct) > 1:
            on_two = [layout for layout in layouts if layout.ranks * layout.threads == 2]
            for _ in range(1 if self.quick else SCALING_REPETITIONS):
                self.tasks += [partial(self._rate, layout) for layout in on_two] + [self._copies]
        for layout in layouts:
            self.tasks.append(partial(self._train, "softmax", self.softmax, layout))
            self.tasks.append(partial(self._train, "cifar", self.cifar, layout))

    def _train(self, kind: str, network: Network, layout: Layout, override: str = "") -> Training:
        """One training; `kind` begins the key of its series."""
        training = self.lockstep.train(network, layout, *override.split())
        how = f", {override.split('.')[-1]}" if override else ""
        self.results.add(f"{kind}.{layout}", f"{network.name}, {layout}{how}", "s", training.epoch)
        return training

    def _train_cnn(self, layout: Layout) -> None:
        training = self._train("cnn", self.cnn, layout)
        add = self.results.add
        add(f"evaluation.{layout}", f"evaluation of 10,000 images, {layout}", "s", training.evaluation)
        add(f"start.{layout}", f"start to first step of mnist_cnn, {layout}", "s", training.start)
        add(f"memory.{layout}", f"memory of a rank of mnist_cnn, {layout}", "MB", training.memory)

    def _rate(self, layout: Layout) -> None:
        """To compare with two copies."""
        training = self.lockstep.train(self.cnn, layout)
        self.results.add(f"rate.{layout}", f"mnist_cnn, {layout}", "samples/s", self.cnn.samples / training.epoch)

    def _copies(self) -> None:
        label = "mnist_cnn, two independent copies, a core each"
        self.results.add("copies", label, "samples/s", self.lockstep.copies(self.cnn))

    def _plan_variants(self) -> None:
        """The same trainings without the contract of equal bits, and without Lockstep's own kernels."""
        by_ranks = self.machine.layouts()[-1]
        for kind, network, override in (
            ("run_mode.cnn", self.cnn, "training.reproducibility=run"),
            ("run_mode.softmax", self.softmax, "training.reproducibility=run"),
            ("onednn.cnn", self.cnn, "device.convolutions=onednn"),
            ("onednn.cifar", self.cifar, "device.convolutions=onednn"),
        ):
            self.tasks.append(partial(self._train, kind, network, by_ranks, override))

    def _plan_peers(self, peers: Peers) -> None:
        """Tries all of the peers' configurations first."""
        trial = 5 if self.quick else 40  # steps, of about 40 ms
        evaluated = mnist_network("mnist_cnn", epochs=1, test_images=True)
        workloads = [
            Workload("cnn", self.cnn, trial_steps=trial, steps=self.cnn.steps),
            Workload("softmax", self.softmax, trial_steps=self.softmax.steps, steps=5 * self.softmax.steps),
            Workload("cifar", self.cifar, trial_steps=max(trial // 10, 2), steps=self.cifar.steps),
            Workload("evaluation", evaluated, evaluates=True),
        ]
        print("PyTorch's configurations, each tried for a few steps; seconds of an epoch, or of an evaluation")
        for workload in workloads:
            for configuration in peers.finalists(workload):
                self.tasks.append(partial(self._measure_peer, peers, workload, configuration))

    def _measure_peer(self, peers: Peers, workload: Workload, configuration: Configuration) -> None:
        seconds = peers.measure(workload, configuration, workload.steps)
        what = "evaluation of 10,000 images" if workload.evaluates else workload.network.name
        self.results.add(f"peer.{workload.key}.{configuration}", f"PyTorch, {what}, {configuration}", "s", seconds)
