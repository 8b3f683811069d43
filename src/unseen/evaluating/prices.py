"""Prices of trainings: the seconds and the samples seen, read from the events of a run.

Seconds differ from run to run, so prices are never among the bytes of a saved result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unseen.engine.runs import RunDirectory

CHOOSING = "choosing"  # the event that holds the cost of choosing a coreset
IN_TRAININGS = ("cost", "saving", "pays_back", "cost_samples", "saving_samples", "pays_back_samples")  # keys
SHORT = 1.0  # seconds
_NEGLIGIBLE = 0.05  # of a training: so small a remainder does not count as one more


@dataclass(frozen=True)
class Price:
    """The price of one or several trainings."""

    trainings: float  # how many
    seconds: float  # their sum, observation included; trainings that run at the same time each count in full
    samples: float | None  # training samples passed over, epochs counted; None where the events do not hold it

    def divided(self, parts: float) -> Price:
        """Divide the price by a number of parts."""
        samples = None if self.samples is None else self.samples / parts
        return Price(self.trainings / parts, self.seconds / parts, samples)


def price_fits(events: Iterable[Mapping[str, Any]]) -> dict[str, Price]:
    """Return the price of each fit. A fit that was killed and resumed counts each of its epochs once.

    >>> price_fits([
    ...     {"kind": "fit_start", "fit": "r0f0", "samples": 100},
    ...     {"kind": "epoch", "fit": "r0f0", "epoch": 1, "seconds": 2.0, "observe_seconds": 1.0},
    ...     {"kind": "fit_start", "fit": "r0f0", "samples": 100},
    ...     {"kind": "epoch", "fit": "r0f0", "epoch": 2, "seconds": 2.0, "observe_seconds": 1.0},
    ...     {"kind": "fit_end", "fit": "r0f0", "seconds": 3.5},
    ... ])
    {'r0f0': Price(trainings=1, seconds=6.0, samples=200)}
    """
    prices = {}
    for name, fit in _finished_fits(events).items():
        known = [seconds for seconds in fit.epochs.values() if seconds is not None]
        seen = None if fit.samples is None else fit.samples * max(len(fit.epochs), 1)
        prices[name] = Price(1, sum(known) if known else fit.seconds, seen)
    return prices


class _FinishedFit(NamedTuple):
    seconds: float  # from start to end; only of the last part of a fit that was killed and resumed
    samples: int | None  # how many it was trained on, where that is logged
    epochs: dict[int, float | None]  # the seconds of each, observation included, where they are logged


def _finished_fits(events: Iterable[Mapping[str, Any]]) -> dict[str, _FinishedFit]:
    """Read from the events what each finished fit took."""
    samples: dict[str, int] = {}
    epochs: dict[str, dict[int, float | None]] = {}
    seconds: dict[str, float] = {}
    for event in events:
        kind, fit = event.get("kind"), str(event.get("fit"))
        if kind == "fit_start" and "samples" in event:
            samples[fit] = int(event["samples"])
        elif kind == "epoch":
            spent = event.get("seconds")
            spent = None if spent is None else float(spent) + float(event.get("observe_seconds") or 0)
            epochs.setdefault(fit, {})[int(event["epoch"])] = spent
        elif kind == "fit_end":
            seconds[fit] = float(event["seconds"])
    return {fit: _FinishedFit(spent, samples.get(fit), epochs.get(fit, {})) for fit, spent in seconds.items()}


def total(prices: Sequence[Price]) -> Price:
    """Add up prices."""
    samples = _sum_if_known(price.samples for price in prices)
    return Price(sum(price.trainings for price in prices), sum(price.seconds for price in prices), samples)


def mean(prices: Sequence[Price]) -> Price:
    """Return the mean of prices."""
    return total(prices).divided(len(prices))


def _sum_if_known(values: Iterable[float | None]) -> float | None:
    """Add up numbers; None where one of them is not known."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if len(known) == len(every) else None


def price_arms(events: Sequence[Mapping[str, Any]], files: Mapping[str, str]) -> dict[str, Price]:
    """Return the mean price of a training of each arm of an evaluation, and of choosing its coresets where logged.

    `files` maps the name of each arm to the name of its files, without their ending `-r<replicate>`.
    """
    prices = {
        f"{CHOOSING} {event['arm']}": Price(event["trainings"], event["seconds"], event["samples"])
        for event in events
        if event.get("kind") == CHOOSING
    }
    of_fit = price_fits(events)
    for name, file in files.items():
        of_arm = [price for fit, price in of_fit.items() if fit.rpartition("-r")[0] == file]
        if of_arm:
            prices[name] = mean(of_arm)
    return prices


def price_run(path: Path) -> Price | None:
    """Return the price of all trainings of a run and of the runs inside it; None where none is logged."""
    prices = [price for events in _all_events(path) for price in price_fits(events).values()]
    return total(prices) if prices else None


def count_full_trainings(path: Path, n: int) -> float | None:
    """Express the fits of a run, and of the runs inside it, in trainings on all n samples, by the samples of each.

    None where no fit is logged, and where some fits have more epochs than others.
    """
    fits = [fit for events in _all_events(path) for fit in _finished_fits(events).values()]
    alike = len({len(fit.epochs) for fit in fits}) == 1
    samples = _sum_if_known(fit.samples for fit in fits) if alike else None
    return samples / n if samples else None


def _all_events(path: Path) -> list[Sequence[Mapping[str, Any]]]:
    """Read the events of a run, and of each run inside it."""
    places = [path, *sorted(manifest.parent for manifest in path.rglob("parts/*/manifest.json"))]
    return [RunDirectory(place).events() for place in places]


def count_payback(cost: float, full: float, part: float) -> int | None:
    """Count the trainings on the coreset that save what choosing cost; None if they never do.

    A remainder of less than a twentieth of a training is dropped.

    >>> count_payback(100.0, 30.0, 20.0), count_payback(100.0, 30.0, 30.0)
    (10, None)
    """
    return max(1, math.ceil(cost / (full - part) - _NEGLIGIBLE)) if full > part else None


def describe_payback(cost: float, saving: float) -> str:
    """Describe in words when choosing has paid for itself; its cost and what each training saves are in trainings.

    >>> describe_payback(1.0, 0.5)
    'choosing cost 1.0 trainings on everything; each training on the coreset saves 0.50 of one, so choosing is paid \
for after 2'
    >>> describe_payback(1.0, 0.0)
    'choosing cost 1.0 trainings on everything; a training on the coreset saves nothing, so choosing is never paid for'
    """
    first = f"choosing cost {cost:.1f} trainings on everything;"
    times = count_payback(cost, 1.0, 1.0 - saving)
    if times is None:
        return f"{first} a training on the coreset saves nothing, so choosing is never paid for"
    return f"{first} each training on the coreset saves {saving:.2f} of one, so choosing is paid for after {times:,}"


def price_in_trainings(choosing: Price, full: Price, part: Price) -> dict[str, Any]:
    """Express the cost of choosing and the saving of a training on the coreset in trainings on everything.

    Returns the keys of `IN_TRAININGS`, by seconds and by samples seen, None where not known; and `text`, all in words.
    The text leaves out the seconds of trainings of less than `SHORT`, which are mostly start-up, where samples are
    known.

    >>> halves = Price(2, 9.0, 1000), Price(1, 8.0, 1000), Price(1, 4.0, 500)
    >>> found = price_in_trainings(*halves)
    >>> found["cost_samples"], found["saving_samples"], found["pays_back_samples"], found["pays_back"]
    (1.0, 0.5, 2, 3)
    """
    found: dict[str, Any] = dict.fromkeys(IN_TRAININGS)
    clauses = []
    for end, unit in (("", "seconds"), ("_samples", "samples")):
        cost, whole, rest = (getattr(price, unit) for price in (choosing, full, part))
        if cost is None or rest is None or not whole:
            continue
        found[f"cost{end}"], found[f"saving{end}"] = cost / whole, 1 - rest / whole
        found[f"pays_back{end}"] = count_payback(cost, whole, rest)
        if end or whole >= SHORT or not full.samples:
            clauses.append(
                f"{'by samples seen' if end else 'by time'}, {describe_payback(cost / whole, 1 - rest / whole)}"
            )
    return {**found, "text": "; ".join(clauses) or "not known when it pays back: no time was taken"}
