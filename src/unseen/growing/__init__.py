"""Several steps: a coreset that models of its own beginnings complete.

The first step is `unseen.prune` on a part of the budget. Each further step trains one model on the coreset so far, asks
it about the samples outside, and lets those in that it is least sure about. Samples that the rule cut off in the first
step, such as likely wrong labels, stay out. Nobody is judged by a model that saw them.

`api.py` is the verb, `loop.py` the settings and the loop, `history.py` how a coreset came about.
"""
