"""Every score once more, one sample at a time in plain loops: shares nothing with the library."""

from itertools import pairwise
from math import exp, log, sqrt
from statistics import mean, stdev


def softmax(z):
    top = max(z)
    e = [exp(v - top) for v in z]
    return [v / sum(e) for v in e]


def p_label(z, y):
    return softmax(z)[y]


def best(z):
    return max(range(len(z)), key=lambda c: z[c])


def right(z, y):
    return float(best(z) == y)


def el2n(z, y):
    return sqrt(sum((p - (c == y)) ** 2 for c, p in enumerate(softmax(z))))


def loss(z, y):
    return log(sum(exp(v - max(z)) for v in z)) + max(z) - z[y]


def entropy(z, y=None):
    return -sum(p * log(p) for p in softmax(z) if p > 0)


def least_confidence(z, y=None):
    return 1 - max(softmax(z))


def margin(z, y=None):
    first, second = sorted(softmax(z), reverse=True)[:2]
    return first - second


def margin_of(v, y):
    return v[y] - max(x for c, x in enumerate(v) if c != y)


def label_margin(z, y, space="probabilities"):
    return margin_of(list(z) if space == "logits" else softmax(z), y)


def grand_last_layer(z, h, y, bias=True):
    error = [p - (c == y) for c, p in enumerate(softmax(z))]
    gradient = [e * x for e in error for x in h] + (error if bias else [])
    return sqrt(sum(g * g for g in gradient))


def self_confidence(z, y):
    return p_label(z, y)


def normalized_margin(z, y):
    return (label_margin(z, y) + 1) / 2


# Course: a list of T logits of one sample.


def aum(course, y, space="logits"):
    return mean(label_margin(z, y, space) for z in course)


def forgetting(course, y):
    seen = [right(z, y) for z in course]
    if not any(seen):
        return float(len(seen))
    return float(sum(before and not after for before, after in pairwise(seen)))


def correctness(course, y):
    return mean(right(z, y) for z in course)


def confidence(course, y):
    return mean(p_label(z, y) for z in course)


def variability(course, y):
    return stdev(p_label(z, y) for z in course)


def windows(values, width):
    return [values[w : w + width] for w in range(len(values) - width + 1)]


def dyn_unc(course, y, window=10):
    return mean(stdev(w) for w in windows([p_label(z, y) for z in course], window))


def dual(course, y, window=10):
    return mean(stdev(w) * (1 - mean(w)) for w in windows([p_label(z, y) for z in course], window))


def tdds(course, y=None, window=10, decay=0.9):
    kd = []
    for before, after in pairwise([softmax(z) for z in course]):
        kd.append(sum(abs(q * (log(q) - log(p))) for p, q in zip(before, after, strict=True)))
    norms = [sqrt(sum((k - mean(w)) ** 2 for k in w)) for w in windows(kd, window - 1)]
    last = len(norms) - 1
    return sum(decay * (1 - decay) ** (last - w) * norm for w, norm in enumerate(norms))


# Two sides: lists of logits of one sample, of the models that saw it and of those that did not.


def memorization(seen, unseen, y, probabilities=False):
    measure = p_label if probabilities else right
    return mean(measure(z, y) for z in seen) - mean(measure(z, y) for z in unseen)


def holdout_gap(seen, unseen, y):
    return mean(loss(z, y) for z in unseen) - mean(loss(z, y) for z in seen)


def reducible(early_seen, unseen, y):
    return mean(loss(z, y) for z in early_seen) - mean(loss(z, y) for z in unseen)


def disagreement(unseen):
    p = [softmax(z) for z in unseen]
    middle = [mean(q) for q in zip(*p, strict=True)]
    return -sum(q * log(q) for q in middle if q > 0) - mean(entropy(z) for z in unseen)


def label_issue(logits, labels, most=12):
    p = [softmax(z) for z in logits]
    thresholds = {k: mean(q[k] for q, y in zip(p, labels, strict=True) if y == k) for k in set(labels)}
    flags = []
    for q, y in zip(p, labels, strict=True):
        likeliest = sorted(range(len(q)), key=lambda k: -q[k])[:most]
        confident = [k for k in likeliest if q[k] >= thresholds.get(k, 2) - 1e-12]
        flags.append(bool(confident) and max(confident, key=lambda k: q[k]) != y)
    return flags
