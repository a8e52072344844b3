"""The arithmetic that training a network needs, from what `lockstep plan` prints."""

import re

# layer, output, parameters, multiply-adds forward, of the weights' gradient and of the data's, implementation
ROW = re.compile(r"^ +(\S+) +(\d+(?:×\d+)*) +[\d,]+ +([\d,]+) +([\d,]+) +([\d,]+)  \S")


def useful_operations(plan: str) -> float:
    """Floating-point operations of training on one sample, two for a multiply-add.

    Nothing needs the data gradient of the first layer. Behind a convolution with a max-pool the gradient has at most
    one element in each window that is not zero, and so only a share of the multiply-adds of both gradients is useful.
    A ReLU makes more of them zero; how many depends on the data, and these count as useful.
    """
    total = 0.0
    gradients, area = 0, 1  # of the last convolution or dense layer, until it is known whether a pool follows
    for line in plan.splitlines():
        row = ROW.match(line)
        if not row or row[1] == "total":
            continue
        name, extents = row[1], [int(extent) for extent in row[2].split("×")]
        forward, by_weight, by_data = (int(number.replace(",", "")) for number in row.groups()[2:])
        cells = extents[-2] * extents[-1] if len(extents) == 3 else 1
        if forward > 0:
            is_first = total == 0
            total += gradients + forward
            gradients, area = by_weight + (0 if is_first else by_data), cells
        elif name.startswith("max_pool") and gradients > 0:
            gradients *= cells / area
            area = cells
    total += gradients
    if total == 0:
        raise ValueError("lockstep plan lists no layers that multiply")
    return 2 * total
