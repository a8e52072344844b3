"""What was measured, as tables and as JSON."""

import statistics
from dataclasses import dataclass, field

WIDTH = 84  # of labels


@dataclass
class Series:
    """Repetitions of one measurement."""

    label: str
    unit: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def summary(self) -> dict:
        spread = {"median": self.median, "least": min(self.values), "most": max(self.values)}
        return {"label": self.label, "unit": self.unit, **spread, "values": self.values}


class Results:
    """Series by key."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}

    def add(self, key: str, label: str, unit: str, value: float) -> None:
        self.series.setdefault(key, Series(label, unit)).values.append(value)

    def lengths(self) -> dict[str, int]:
        return {key: len(series.values) for key, series in self.series.items()}

    def cut(self, lengths: dict[str, int]) -> None:
        """Back to what there was when lengths() gave these."""
        for key in list(self.series):
            if key in lengths:
                del self.series[key].values[lengths[key] :]
            else:
                del self.series[key]

    def group(self, prefix: str) -> list[Series]:
        return [series for key, series in self.series.items() if key.startswith(prefix)]

    def fastest(self, prefix: str) -> Series | None:
        """Of that group, the one with the least median."""
        return min(self.group(prefix), key=lambda series: series.median, default=None)

    def print(self, order: tuple[str, ...]) -> None:
        """A line for each series, in the order of the groups."""
        print(f"{'':<{WIDTH}} {'median':>10} {'least':>10} {'most':>10}")
        for prefix in order:
            for series in self.group(prefix):
                label = f"{series.label}, {series.unit}"
                least, most = min(series.values), max(series.values)
                print(f"{label:<{WIDTH}} {series.median:>10.4g} {least:>10.4g} {most:>10.4g}")


@dataclass(frozen=True)
class Ratio:
    """The quotient of two medians; those of values that were measured beside each other show how sure it is."""

    label: str
    over: Series
    under: Series
    aim: str

    @property
    def value(self) -> float:
        return self.over.median / self.under.median

    @property
    def rounds(self) -> list[float]:
        return [over / under for over, under in zip(self.over.values, self.under.values, strict=True)]

    def summary(self) -> dict:
        spread = {"value": self.value, "least": min(self.rounds), "most": max(self.rounds)}
        return {"label": self.label, "over": self.over.label, "under": self.under.label, **spread, "aim": self.aim}


def print_ratios(ratios: list[Ratio]) -> None:
    title = "Ratios of medians, least and most of what stood side by side"
    print(f"{title:<{WIDTH}} {'ratio':>10} {'least':>10} {'most':>10}  aim")
    for ratio in ratios:
        least, most = min(ratio.rounds), max(ratio.rounds)
        print(f"{ratio.label:<{WIDTH}} {ratio.value:>10.3f} {least:>10.3f} {most:>10.3f}  {ratio.aim}")
        print(f"    {ratio.over.label} / {ratio.under.label}")
