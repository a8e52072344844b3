"""What launch/benchmark computes around its measurements. Usage: driver_test.py PROGRAM MNIST_FILE"""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "launch" / "benchmark"))

from aims import ORDER, ratios  # noqa: E402
from arithmetic import useful_operations  # noqa: E402
from experiments import Network  # noqa: E402
from machine import Layout, Machine  # noqa: E402
from measurements import Measurements  # noqa: E402
from peers import Configuration, Peers, Workload  # noqa: E402
from process import CommandError, run  # noqa: E402
from programs import read_run  # noqa: E402
from results import Results  # noqa: E402
from synthetic import write_images  # noqa: E402

PROGRAM, MNIST = "", ""


def plan_of(experiment: str) -> str:
    files = [f"data.{split}.file={MNIST}" for split in ("train", "validation")]
    return run([PROGRAM, "plan", str(ROOT / "configs" / experiment), *files])


class Arithmetic(unittest.TestCase):
    def test_counts_a_quarter_of_the_gradients_behind_a_pool(self):
        first, second, dense = 24 * 24 * 24 * 25, 48 * 8 * 8 * 24 * 25, 768 * 512 + 512 * 10
        forward = first + second + dense
        by_weight, by_data = first // 4 + second // 4 + dense, second // 4 + dense
        self.assertEqual(useful_operations(plan_of("mnist_cnn.yaml")), 2 * (forward + by_weight + by_data))

    def test_needs_no_data_gradient_of_the_first_layer(self):
        self.assertEqual(useful_operations(plan_of("mnist_softmax.yaml")), 2 * 2 * 784 * 10)

    def test_refuses_a_plan_that_it_cannot_read(self):
        with self.assertRaises(ValueError):
            useful_operations("layers\n")


class Experiments(unittest.TestCase):
    def test_the_cifar_shaped_one_trains_on_the_data_made_for_it(self):
        with tempfile.TemporaryDirectory() as folder:
            images, labels = write_images(Path(folder), 16, (3, 32, 32), 10)
            data = f"{folder}/data.h5"
            run([PROGRAM, "import", data, "--train", str(images), str(labels)])
            settings = ["training.epochs=2", "training.batch=8", f"data.train.file={data}", f"output.dir={folder}"]
            experiment = str(ROOT / "launch" / "benchmark" / "cifar_shaped.yaml")
            run([PROGRAM, "train", experiment, *settings, "output.name=run"])
            training = read_run(Path(folder) / "run", 16)
            self.assertGreater(training.epoch, 0)
            self.assertIsNone(training.evaluation)

    def test_a_failing_program_is_reported_with_what_it_said(self):
        with self.assertRaisesRegex(CommandError, "(?s)no_such_file.*status 66") as caught:
            run([PROGRAM, "plan", "no_such_file.yaml"])
        self.assertIn("no_such_file", caught.exception.reason)


class Layouts(unittest.TestCase):
    def test_one_core_two_cores_and_all(self):
        self.assertEqual(Machine(1, [0]).layouts(), [Layout(1, 1)])
        self.assertEqual(Machine(2, [0, 1]).layouts(), [Layout(1, 1), Layout(1, 2), Layout(2, 1)])
        self.assertEqual(Machine(32, list(range(32))).layouts()[-2:], [Layout(1, 8), Layout(8, 1)])

    def test_ranks_are_bound_where_there_are_cores_enough(self):
        self.assertIn("core", Machine(2, [0, 1]).command(Layout(2, 1), ["program"]))
        self.assertIn("--oversubscribe", Machine(2, [0]).command(Layout(2, 1), ["program"]))
        self.assertEqual(Machine(4, [0, 2]).command(Layout(1, 2), ["p"]), ["taskset", "-c", "0,2", "p"])


class Finalists(unittest.TestCase):
    """Of trials that take what they are told to."""

    class Told(Peers):
        def __init__(self, seconds: dict[str, list[float]]):
            super().__init__(Path("python"), Machine(2, [0, 1]))
            self.seconds = seconds

        def measure(self, workload: Workload, configuration: Configuration, steps: int) -> float:
            left = self.seconds[str(configuration)]
            if not left:
                raise CommandError(["python"], 1, "no memory")
            return left.pop(0)

    def finalists_of(self, seconds: dict[str, list[float]]) -> tuple[list[str], list[dict]]:
        peers = self.Told(seconds)
        network = Network("mnist_cnn", Path("file"), 128, Path("images"), Path("labels"), 1)
        with contextlib.redirect_stdout(io.StringIO()):
            found = peers.finalists(Workload("cnn", network, trial_steps=1))
        return [str(configuration) for configuration in found], peers.tried

    def test_one_slow_moment_does_not_cost_the_fastest_its_place(self):
        found, tried = self.finalists_of(
            {
                "1 thread": [30, 30],
                "1 thread, channels-last": [24, 22],
                "2 threads": [20, 21],
                "2 threads, channels-last": [25, 13],
                "2 processes x 1 thread": [41],
                "2 processes x 1 thread, channels-last": [18, 19],
                "2 threads, channels-last, bfloat16": [5],
            }
        )
        self.assertEqual(found, ["2 threads, channels-last", "2 processes x 1 thread, channels-last", "2 threads"])
        self.assertEqual(len(tried), 7 + 5)

    def test_what_fails_is_kept_but_does_not_enter(self):
        only = "2 processes x 1 thread"
        seconds: dict[str, list[float]] = {
            f"{layout}{order}": []
            for layout in ("1 thread", "2 threads", only)
            for order in ("", ", channels-last", ", channels-last, bfloat16")
        }
        found, tried = self.finalists_of(seconds | {only: [1, 2]})
        self.assertEqual(found, [only])
        self.assertEqual(sum("failure" in trial for trial in tried), 6)
        self.assertEqual(self.finalists_of(seconds)[0], [])


class Rounds(unittest.TestCase):
    """Of measurements that count up, and fail where they are told to."""

    class Counting(Measurements):
        def __init__(self, failing: tuple[int, str] | None, error: BaseException):
            self.results, self.failing, self.error, self.number = Results(), failing, error, 0
            self.tasks = [lambda: self.measure("first"), lambda: self.measure("second")]

        def round(self, number: int) -> None:
            self.number = number
            super().round(number)

        def measure(self, key: str) -> None:
            if self.failing == (self.number, key):
                raise self.error
            self.results.add(key, key, "s", self.number)

    def test_those_that_ended_count(self):
        measurements = self.Counting(None, KeyboardInterrupt())
        self.assertEqual(measurements.run(3), (3, ""))
        self.assertEqual(measurements.results.lengths(), {"first": 3, "second": 3})

    def test_what_ended_before_a_failure_is_kept(self):
        failures = [(CommandError(["lockstep"], 1, "no space"), "no space"), (KeyboardInterrupt(), "interrupted")]
        for error, reason in failures:
            for key in ("first", "second"):
                measurements = self.Counting((3, key), error)
                rounds, failure = measurements.run(5)
                self.assertEqual(rounds, 2)
                self.assertIn(reason, failure)
                self.assertEqual(measurements.results.series["first"].values, [1, 2])
                self.assertEqual(measurements.results.series["second"].values, [1, 2])

    def test_without_a_first_round_there_is_nothing_to_tell(self):
        with self.assertRaises(CommandError):
            self.Counting((1, "second"), CommandError(["lockstep"], 1, "no space")).run(5)


class Ratios(unittest.TestCase):
    def test_compares_medians_of_the_fastest(self):
        results = Results()
        for slow, fast, peer in ((4, 2, 9), (5, 3, 12), (6, 100, 10)):
            results.add("cnn.1 rank x 2 threads", "slow", "s", slow)
            results.add("cnn.2 ranks x 1 thread", "fast", "s", fast)
            results.add("peer.cnn.1 thread", "peer", "s", peer)
        by_label = {ratio.label: ratio for ratio in ratios(results, Machine(2, [0, 1]))}
        self.assertEqual(list(by_label), ["CNN: PyTorch by Lockstep"])
        ratio = by_label["CNN: PyTorch by Lockstep"]
        self.assertEqual(ratio.under.label, "fast")
        self.assertEqual(ratio.value, 10 / 3)
        self.assertEqual(ratio.rounds, [4.5, 4, 0.1])

    def test_prints_every_group(self):
        self.assertEqual(len(set(ORDER)), len(ORDER))
        for kind in ("cnn.", "softmax.", "cifar.", "evaluation."):
            self.assertTrue({kind, f"peer.{kind}"} <= set(ORDER))


if __name__ == "__main__":
    PROGRAM, MNIST = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
