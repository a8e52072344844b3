"""Which ratios the measurements are compared in, and what they should be."""

from machine import Machine
from results import Ratio, Results

# Keys of series begin with the first name of these, in the order in which they are printed.
ORDER = (
    *("peak.", "limit", "primitives."),
    *("cnn.", "run_mode.cnn.", "onednn.cnn.", "peer.cnn."),
    *("softmax.", "run_mode.softmax.", "peer.softmax."),
    *("cifar.", "onednn.cifar.", "peer.cifar."),
    *("evaluation.", "peer.evaluation."),
    *("rate.", "copies", "start.", "memory."),
)


def ratios(results: Results, machine: Machine) -> list[Ratio]:
    """Of the fastest in each group; what was measured in one layout only, by the same layout.

    Left out are those that this run has not measured.
    """
    by_ranks = machine.layouts()[-1]
    wanted = [
        ("CNN: Lockstep by the limit of arithmetic", "cnn.", "limit", "at most 2"),
        ("CNN: PyTorch by Lockstep", "peer.cnn.", "cnn.", "at least 4"),
        ("softmax: PyTorch by Lockstep", "peer.softmax.", "softmax.", "at least 3"),
        ("CIFAR-shaped: PyTorch by Lockstep", "peer.cifar.", "cifar.", "at least 1.3"),
        ("evaluation: PyTorch by Lockstep", "peer.evaluation.", "evaluation.", "at least 3"),
        ("CNN: oneDNN's primitives alone by Lockstep", "primitives.", "cnn.", "at least 1"),
        ("CNN: with oneDNN's layers by with own", "onednn.cnn.", f"cnn.{by_ranks}", "at least 1"),
        ("CIFAR-shaped: the same", "onednn.cifar.", f"cifar.{by_ranks}", "at least 1"),
        ("samples/s: two threads by two copies", "rate.1 rank", "copies", "at least 0.95"),
        ("samples/s: two ranks by two copies", "rate.2 ranks", "copies", "at least 0.95"),
        ("CNN: lockstep by run", f"cnn.{by_ranks}", "run_mode.cnn.", "at most 1.05"),
        ("softmax: lockstep by run", f"softmax.{by_ranks}", "run_mode.softmax.", "at most 1.05"),
    ]
    found = []
    for label, over, under, aim in wanted:
        numerator, denominator = results.fastest(over), results.fastest(under)
        if numerator and denominator:
            found.append(Ratio(label, numerator, denominator, aim))
    return found
