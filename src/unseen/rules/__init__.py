"""Rules choose a coreset by scores and a budget: `unseen.rules.stratified(table["el2n"], keep=0.3)`."""

from __future__ import annotations

from unseen.rules.base import Pick, Pool, Rule
from unseen.rules.budgets import budget, budget_line
from unseen.rules.choosing import choose
from unseen.rules.cover import herding, k_center, moderate
from unseen.rules.neighbours import dedup, graph, infomax
from unseen.rules.order import bws, top, window
from unseen.rules.registry import RULES, about, check, resolve
from unseen.rules.sampling import beta, random, stratified, trimmed

__all__ = [
    "RULES", "Pick", "Pool", "Rule", "about", "beta", "budget", "budget_line", "bws", "check", "choose", "dedup",
    "graph", "herding", "infomax", "k_center", "moderate", "random", "resolve", "stratified", "top", "trimmed",
    "window",
]  # fmt: skip
