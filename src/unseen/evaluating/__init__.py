"""What pruning costs in accuracy and in time: `evaluate`, `sweep`, `advise`, `estimate`, and `rule="auto"`.

`evaluation.py` is `evaluate` and `result.py` its result; `test_set.py` makes the rows that it tests on. `sweep.py`,
`advise.py` and `automatic.py` try methods (`methods.py`) by `trials.py`. `statistics.py` makes intervals and verdicts,
`prices.py` reads what trainings cost. `estimate.py` predicts the cost of a scoring from short fits that `costs.py`
times and multiplies.
"""
