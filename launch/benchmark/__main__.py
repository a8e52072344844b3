"""Times Lockstep, oneDNN's primitives and, if asked, PyTorch in turn.

Called by launch/benchmark.sh, which builds what is measured and explains the options.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from aims import ORDER, ratios
from machine import Machine, count, processor, system
from measurements import Measurements
from peers import Peers
from process import CommandError
from programs import Programs
from results import print_ratios


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a number from 1, not '{text}'")
    return int(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch/benchmark", description=__doc__)
    parser.add_argument("--rounds", type=positive)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    # Found out or built by benchmark.sh:
    parser.add_argument("--peers", type=Path, help="a Python that has PyTorch")
    parser.add_argument("--lockstep", type=Path, required=True)
    parser.add_argument("--onednn-benchmark", type=Path, required=True)
    parser.add_argument("--fma-benchmark", type=Path, required=True)
    parser.add_argument("--cores", type=positive, required=True)
    parser.add_argument("--distinct", type=int, nargs="+", required=True, help="a processor of each core")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def main() -> None:
    options = parse()
    machine = Machine(options.cores, options.distinct)
    peers = Peers(options.peers, machine) if options.peers else None
    programs = Programs(options.lockstep, options.onednn_benchmark, options.fma_benchmark)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        measurements = Measurements(programs, machine, peers, options.quick, Path(scratch))
        versions = measurements.lockstep.version().splitlines()
        start = time.monotonic()
        rounds, failure = measurements.run(options.rounds)
        seconds = time.monotonic() - start

    where = {
        "processor": processor(),
        "instruction_set": measurements.instruction_set,
        "cores": machine.cores,
        "system": system(),
        "versions": versions,
        "pytorch": peers.version if peers else None,
    }
    compared = ratios(measurements.results, machine)
    print(f"\n{where['processor']}, {where['cores']} cores, oneDNN uses {where['instruction_set']}; {where['system']}")
    print("; ".join(where["versions"]) + (f"; PyTorch {peers.version}" if peers else ""))
    print(f"{count(rounds, 'round')}, {seconds:.0f} s; seconds are of a training epoch unless said otherwise")
    if options.quick:
        print("--quick: a sixth of MNIST, and few steps. These figures are rough.")
    print()
    measurements.results.print(ORDER)
    print()
    print_ratios(compared)
    if options.json:
        report = {
            "machine": where,
            "quick": options.quick,
            "rounds": rounds,
            "failure": failure or None,
            "measurements": {key: series.summary() for key, series in measurements.results.series.items()},
            "ratios": [ratio.summary() for ratio in compared],
            "peers_tried": peers.tried if peers else [],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
        print(f"\nWritten to {options.json}")
    if failure:
        sys.exit(f"benchmark.sh: round {rounds + 1} did not end, the figures are those before it: {failure}")


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    try:
        main()
    except CommandError as error:
        sys.exit(f"benchmark.sh: a program failed: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmark.sh: interrupted")
