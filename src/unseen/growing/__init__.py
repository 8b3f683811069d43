"""Several steps: a coreset chosen by models trained on the coresets before it.

Scoring in one step asks models of the whole data set only. Here each step asks models of the coreset so far: what they
predict of outsiders says what the coreset still lacks, and what models of the coreset less a fold predict of that fold
says which members the others already explain. Nobody is ever judged by a model that saw them; who
is judged by one that saw an exact copy counts in no accuracy.

Two scales on which members and outsiders compare. Under `scale="size"`, the default, every sample is judged by a
model of (k - 1) / k of the coreset, so scores compare as they are, at k trainings a step. The price: an outsider that
a single member explains looks unexplained to the one model in k that lacks this member. Under `scale="rank"`
outsiders are judged by one model of the whole coreset, to which nobody looks harder than they are, at k + 1 trainings
a step; but they compare with members by rank within each group only. Members' scores decide who is released or
dropped; where nobody is, the two scales differ in who judges the outsiders alone, and `"rank"` is the closer look.

Exact copies do not bind a member to an outsider here: that the coreset already explains a copy outside is the point.
One of them stands for all, and further ones enter only when nothing else is left. Groups that the user gave do bind:
whoever shares a group with a member is judged by models that saw nobody of that group. They need not enter or leave
together.

There is no warm start from the weights of the step before. A model that goes on from weights which saw a sample has
seen it: a member released into the outsiders, and a member dealt to another fold than before, would be judged by a
model whose initial weights knew them. Only where nothing is ever released or dropped, and every sample keeps its fold
through all steps, would the law of exposure hold, and then each step would merely continue the training of the last.

`grown.py` is the verb; `growth.py` its settings, `preparation.py` what is known and refused before it begins, `loop.py`
the loop, `refilling.py` one step of it, `copies.py` the exact copies, `schedules.py` the sizes, `quality.py` what a
coreset is worth on the way, `history.py` how it came about.
"""
