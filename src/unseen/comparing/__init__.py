"""Methods compared: coresets chosen in several ways, trained on and tested, replicate by replicate.

`methods.py` names a way of choosing in one line and carries it out; `trials.py` trains on what was chosen and tests it;
`sweeping.py`, `advising.py` and `automatic.py` are three questions asked of such trials; `curves.py` is what a sweep
found.
"""
