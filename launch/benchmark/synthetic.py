"""Random images and labels as IDX files, the format of MNIST."""

import random
import struct
from pathlib import Path

UNSIGNED_BYTE = 0x08


def write_idx(path: Path, extents: tuple[int, ...], values: bytes) -> None:
    header = struct.pack(f">HBB{len(extents)}I", 0, UNSIGNED_BYTE, len(extents), *extents)
    path.write_bytes(header + values)


def write_images(folder: Path, samples: int, shape: tuple[int, ...], classes: int) -> tuple[Path, Path]:
    """The same files each time. Returns the paths of images and labels."""
    generator = random.Random(1)
    images, labels = folder / f"images-{samples}.idx", folder / f"labels-{samples}.idx"
    size = 1
    for extent in shape:
        size *= extent
    write_idx(images, (samples, *shape), generator.randbytes(samples * size))
    write_idx(labels, (samples,), bytes(generator.randrange(classes) for _ in range(samples)))
    return images, labels
