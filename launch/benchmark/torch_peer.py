"""Trains or evaluates one of the networks with PyTorch in one configuration, and prints as JSON what it took.

Run by peers.py in an environment that has PyTorch. What can be chosen is chosen in PyTorch's favour: all images are in
memory as scaled floats in the layout that is asked for, a batch is one gather, no accuracy is counted and no loss is
read while training, the optimizer is the fused one, denormals are flushed, and the first steps are not timed.
"""

import argparse
import gzip
import json
import math
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def mnist_cnn() -> nn.Sequential:
    """configs/mnist_cnn.yaml"""
    return nn.Sequential(
        nn.Conv2d(1, 24, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(768, 512), nn.ReLU(inplace=True),
        nn.Linear(512, 10),
    )  # fmt: skip


def mnist_softmax() -> nn.Sequential:
    """configs/mnist_softmax.yaml"""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def cifar_shaped() -> nn.Sequential:
    """cifar_shaped.yaml"""

    def convolution(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *convolution(3, 64), *convolution(64, 64), nn.MaxPool2d(2),
        *convolution(64, 128), *convolution(128, 128), nn.MaxPool2d(2),
        *convolution(128, 256), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 10),
    )  # fmt: skip


NETWORKS = {"mnist_cnn": mnist_cnn, "mnist_softmax": mnist_softmax, "cifar_shaped": cifar_shaped}
OPTIMIZERS = {
    "mnist_cnn": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "mnist_softmax": {"lr": 0.5},
    "cifar_shaped": {"lr": 0.01, "momentum": 0.9, "nesterov": True},
}


def read_idx(path: Path) -> numpy.ndarray:
    """An IDX file of unsigned bytes, gzipped or not."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    extents = numpy.frombuffer(data, ">u4", count=data[3], offset=4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(extents)


class Data:
    """Images as floats from 0 to 1, in NCHW or NHWC in memory, always seen as NCHW."""

    def __init__(self, images: Path, labels: Path, channels_last: bool):
        pixels = read_idx(images)
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        self.channels_last = channels_last
        if channels_last:
            pixels = pixels.transpose(0, 2, 3, 1)
        self.images = torch.from_numpy(pixels.astype(numpy.float32) / 255)
        self.labels = torch.from_numpy(read_idx(labels).astype(numpy.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: torch.Tensor | slice) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.images[index]
        return images.permute(0, 3, 1, 2) if self.channels_last else images, self.labels[index]


def shuffled_batches(samples: int, batch: int, rank: int, processes: int):
    """Without end: the process's part of each batch's indices, in a new order each epoch. An epoch's last is short."""
    generator = torch.Generator().manual_seed(1)
    while True:
        order = torch.randperm(samples, generator=generator)
        for start in range(0, samples, batch):
            yield order[start : start + batch][rank::processes]


def train(options: argparse.Namespace, model: nn.Module, data: Data, rank: int) -> dict:
    optimizer = torch.optim.SGD(model.parameters(), **OPTIMIZERS[options.network], fused=True)
    batches = shuffled_batches(len(data), options.batch, rank, options.processes)
    precision = torch.autocast("cpu", dtype=torch.bfloat16) if options.bfloat16 else nullcontext()
    start = time.perf_counter()
    for step in range(-options.warm_up, options.steps):
        if step == 0:
            start = time.perf_counter()
        images, labels = data.batch(next(batches))
        optimizer.zero_grad(set_to_none=True)
        with precision:
            loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    if not math.isfinite(loss.item()):
        raise RuntimeError(f"the loss became {loss.item()}")
    steps_per_epoch = math.ceil(len(data) / options.batch)
    return {"seconds": seconds / options.steps * steps_per_epoch, "loss": loss.item()}


def evaluate(options: argparse.Namespace, model: nn.Module, data: Data) -> dict:
    """Loss and accuracy over all samples, as `lockstep` computes them after an epoch."""
    model.eval()

    def once() -> tuple[float, int]:
        loss, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for start in range(0, len(data), options.batch):
            images, labels = data.batch(slice(start, start + options.batch))
            scores = model(images)
            loss += cross_entropy(scores, labels, reduction="sum")
            correct += (scores.argmax(1) == labels).sum()
        return loss.item(), int(correct.item())

    with torch.inference_mode():
        once()
        seconds = []
        for _ in range(options.repetitions):
            start = time.perf_counter()
            loss, correct = once()
            seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "loss": loss / len(data), "accuracy": correct / len(data)}


def run(rank: int, options: argparse.Namespace, meeting_place: str) -> None:
    """What one process does; the first prints the result."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    model = NETWORKS[options.network]()
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    data = Data(options.images, options.labels, options.channels_last)
    if options.processes > 1:
        if len(options.processors) >= options.processes:
            os.sched_setaffinity(0, {options.processors[rank]})
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=options.processes
        )
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    result = evaluate(options, model, data) if options.evaluate else train(options, model, data, rank)
    if options.processes > 1:
        torch.distributed.destroy_process_group()
    if rank == 0:
        json.dump({**result, "version": torch.__version__}, sys.stdout)
    if options.processes > 1:
        sys.stdout.flush()
        os._exit(0)  # gloo's threads may abort a process that is ending


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=128, help="of all processes together")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--processes", type=int, default=1, help="with DistributedDataParallel over gloo")
    parser.add_argument("--processors", type=int, nargs="+", default=[], help="one of each core, for the processes")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="autocast")
    parser.add_argument("--steps", type=int, default=100, help="that are timed")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before these")
    parser.add_argument("--evaluate", action="store_true", help="instead of training")
    parser.add_argument("--repetitions", type=int, default=3, help="of an evaluation, of which the shortest counts")
    options = parser.parse_args()
    if options.processes == 1:
        run(0, options, "")
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run, (options, f"{folder}/meeting_place"), options.processes)


if __name__ == "__main__":
    main()
