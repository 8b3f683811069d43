"""What a scoring will cost, told before it begins: counted from the plan, timed on a small sample of the data.

`counting` counts fits and samples; `trials` times the learner on a sample; `in_epochs`, `by_operations` and `by_size`
make the seconds of a full fit of such trials; `pricing` adds the fits up; `estimation` is the verb.
"""
