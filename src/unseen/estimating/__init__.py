"""What a scoring will cost, told before it begins: counted from the plan, timed on a small sample of the data.

`trials` counts and times fits on a sample; `costs` makes the costs of full fits of them; `estimate` is the verb.
"""
