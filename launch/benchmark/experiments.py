"""The networks that are trained, with their data."""

from dataclasses import dataclass
from pathlib import Path

from process import run
from synthetic import write_images

BATCH = 128
MNIST = Path("datasets/mnist")


@dataclass(frozen=True)
class Network:
    """An experiment to time. Paths are relative to the project's folder."""

    name: str
    file: Path
    samples: int
    images: Path  # IDX files of the training samples
    labels: Path
    epochs: int  # of one measurement; of several the first does not count
    overrides: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.samples // BATCH)


def mnist_network(name: str, epochs: int, test_images: bool = False) -> Network:
    """configs/NAME.yaml on the training set, or on the test set's 10,000 images."""
    prefix = "t10k" if test_images else "train"
    return Network(
        name=name,
        file=Path(f"configs/{name}.yaml"),
        samples=10_000 if test_images else 60_000,
        images=MNIST / f"{prefix}-images-idx3-ubyte.gz",
        labels=MNIST / f"{prefix}-labels-idx1-ubyte.gz",
        epochs=epochs,
        overrides=("data.train.images=/test/images", "data.train.labels=/test/labels") if test_images else (),
    )


def cifar_network(lockstep: Path, samples: int) -> Network:
    """cifar_shaped.yaml beside this file. Makes its data, where that file looks for them."""
    folder = Path("build/benchmark")
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = write_images(folder, samples, (3, 32, 32), 10)
    run([str(lockstep), "import", str(folder / "cifar_shaped.h5"), "--force", "--train", str(images), str(labels)])
    return Network(
        name="cifar_shaped",
        file=Path("launch/benchmark/cifar_shaped.yaml"),
        samples=samples,
        images=images,
        labels=labels,
        epochs=2,
    )
