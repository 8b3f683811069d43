"""The cost of any other learner: fits on samples of growing size, and what their times grow to.

    seconds a fit = seconds of the largest trial x (rows / its rows) ^ b

b is the slope of the logarithms of the times of the larger trials, in 0 .. 3. Where that is below 1, because what a
fit takes in any case still counts for most, it is the straight line through the last two trials if that is more. The
range takes b 0.15 lower and higher, or as far as the trials disagree about it, and its high end at least 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unseen.estimating.costs import FASTER, SLOWER
from unseen.estimating.counting import Size
from unseen.estimating.ranges import NOTHING, Range
from unseen.estimating.trials import Bench, Trial
from unseen.protocols import Learner

__all__ = ["BySize", "exponent", "slope"]

LEAST = 256  # rows of the first trial
COPIES = 3.0  # of the inputs, that a fit may make
DOUBT = 0.15  # of the exponent, at least


@dataclass
class BySize:
    """See the head of this module.

    Args:
        learner: any.
        bench: where it is tried.
        size: of a fit.
        budget: seconds for the trials, about.

    """

    learner: Learner
    bench: Bench
    size: Size
    budget: float
    measured: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    checkpoint_bytes: float = 0.0  # a fit without epochs begins anew

    def __post_init__(self) -> None:
        sample = self.bench.sample
        least = max(LEAST, 3 * len(sample.class_names))
        grown = self.bench.grown(self.learner, self.size, least=least, seconds=self.budget)
        self._last = grown.trials[-1]
        self._held = (0.0, COPIES * sample.bytes_each) if grown.held is None else grown.held
        if grown.held is None:
            self.notes.append(
                f"fits are too slow here to trace their memory: {COPIES:.0f} copies of the inputs are assumed"
            )
        self.result_bytes = self._last.result_bytes
        self._exponent, self._doubt = exponent(grown.trials)
        self._slope = slope(grown.trials)
        if self.learner.epochs:
            self.checkpoint_bytes = float(sum(array.nbytes for array in self._last.checkpoint.values()))
        self.measured |= {
            "seconds of the largest trial": self._last.seconds,
            "samples tried": self._last.size.rows,
            "exponent": self._exponent,
            "seconds to read a sample": sample.random_seconds,
        }
        if self._last.size.rows < self.size.rows / 10:
            self.notes.append(
                f"the largest fit tried has {self._last.size.rows:,} of {self.size.rows:,} samples: the range is wide"
            )

    def seconds(self, size: Size) -> Range:
        """Of one fit."""
        last = self._last
        ratio = size.rows / last.size.rows
        straight = max(0.0, last.seconds + self._slope * (size.rows - last.size.rows))
        ends = [last.seconds * ratio**b for b in (self._exponent - self._doubt, self._exponent + self._doubt)]
        middle = last.seconds * ratio**self._exponent
        if ratio > 1:  # no learner takes less than in proportion for ever
            middle = max(middle, straight)
            ends.append(last.seconds * ratio)
        grown = Range(min(ends), middle, max(*ends, middle))
        reading = Range.exactly(self.bench.sample.random_seconds * (size.rows + size.seen))
        return (grown + reading).widened(FASTER, SLOWER)

    def once(self) -> Range:
        """Nothing."""
        return NOTHING

    def memory(self, size: Size) -> Range:
        """What Python and NumPy hold grows with the rows; what a library in C takes besides is not seen."""
        held = self.bench.sample.held_bytes
        fixed, each = self._held
        return Range.exactly(held + fixed + each * size.rows).widened(0.8, 2.0)


def exponent(trials: list[Trial]) -> tuple[float, float]:
    """With which power of the rows the times grow, by the larger trials, and how sure that is."""
    rows = np.log([trial.size.rows for trial in trials])
    seconds = np.log([max(trial.seconds, 1e-6) for trial in trials])
    if len(trials) == 1:
        return 1.0, 0.5
    last = rows >= rows[-1] - np.log(4.5)  # of up to three sizes, doubled each time
    power = float(np.clip(np.polyfit(rows[last], seconds[last], 1)[0], 0.0, 3.0))
    ends = (seconds[-1] - seconds[-2]) / (rows[-1] - rows[-2])
    return power, max(DOUBT, min(0.5, abs(float(ends) - power)))


def slope(trials: list[Trial]) -> float:
    """Seconds for each row more, by the last two trials; at least 0."""
    if len(trials) == 1:
        return trials[0].seconds / trials[0].size.rows
    before, last = trials[-2:]
    return max(0.0, (last.seconds - before.seconds) / (last.size.rows - before.size.rows))
