"""What training on a coreset costs: it and its baselines trained on under paired seeds, and a verdict in words.

`evaluation.py` is the verb and `evaluated.py` its result; `candidates.py` the coresets to judge, `arms.py` what each
arm trains on, `exams.py` who is asked about, `overlap.py` what the test set shares with the training set,
`replicates.py` the trainings, `prices.py` what they and the choosing cost.
"""
