"""Rules choose a coreset by scores and a budget: `unseen.rules.stratified(table["el2n"], keep=0.3)`."""

from __future__ import annotations

from unseen.rules.base import Pick, Pool, Rule
from unseen.rules.budgets import budget, budget_line
from unseen.rules.choosing import choose
from unseen.rules.functions import (
    beta,
    bws,
    dedup,
    graph,
    herding,
    infomax,
    k_center,
    moderate,
    random,
    stratified,
    top,
    window,
)
from unseen.rules.registry import RULES, about, check, resolve

__all__ = [
    "RULES",
    "Pick",
    "Pool",
    "Rule",
    "about",
    "beta",
    "budget",
    "budget_line",
    "bws",
    "check",
    "choose",
    "dedup",
    "graph",
    "herding",
    "infomax",
    "k_center",
    "moderate",
    "random",
    "resolve",
    "stratified",
    "top",
    "window",
]
