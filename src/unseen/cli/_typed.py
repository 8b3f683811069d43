"""How messages of the library name options at the command line."""

from __future__ import annotations

import re

# Arguments whose option has the same name. Not `features`, which is --feature of the data and --features of rules.
_ARGUMENTS = (
    "label|target|image|text|id|group|split|image_size|mode|x|on_error|keep|prune|quota|align|learner|fix|test|out|"
    "executor|jobs|threads|to|overlap|by"
)
# A name alone (`label=`), or with a text or number (`label='y'`); neither part of a spec, nor followed by its option or
# by the function that has it.
_NAMED = re.compile(rf"(?<![^\s(])({_ARGUMENTS})=(?! \((?:--|see unseen))(?:(?=(['\"\d]))|(?=[\s,;:)]|$))")


def as_typed(message: str) -> str:
    """Name options as they are typed, where a message names arguments of the library.

    >>> as_typed("label= must name the column of labels, as in label='income'")
    "--label must name the column of labels, as in --label 'income'"
    >>> as_typed("5 test samples are copies; overlap='drop' leaves them out")
    "5 test samples are copies; --overlap 'drop' leaves them out"
    >>> as_typed("quick=True tests on a probe split: leave test out")
    '--quick tests on a probe split: leave test out'
    """
    message = re.sub(r"\bquick=True", "--quick", message)
    return _NAMED.sub(lambda found: f"--{found[1].replace('_', '-')}{' ' if found[2] else ''}", message)
