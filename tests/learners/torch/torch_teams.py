"""Several processes that train one model together, without Ray."""

import multiprocessing
import os
import tempfile
from pathlib import Path

from torch_stand_ins import Store, Tape, split

from unseen.learners.torch import TorchLearner


def together(workers, cases):
    """What the first of so many processes keeps of each case: the tape's state, the checkpoints, the reports.

    A case is (data, recipe, options), where options may name what the tape `wants`, a `memory_limit`, and
    the first checkpoint of the case before to begin with (`resumed`).
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unseen.learners.torch.loop"])  # imported once for all teams
    with tempfile.TemporaryDirectory() as folder, context.Pool(workers) as pool:
        given = [(rank, workers, str(Path(folder) / "meeting"), cases) for rank in range(workers)]
        kept = pool.starmap(_one, given, chunksize=1)
    for other in kept[1:]:
        assert all(state == {} and history == [] for state, history, _ in other), "the first process alone keeps"
    return kept[0]


def alone(cases):
    return _all(1, cases)


def _one(rank, workers, meeting, cases):
    from datetime import timedelta

    from torch import distributed

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers, timeout=timedelta(seconds=30)
    )
    try:
        return _all(workers, cases)
    finally:
        distributed.destroy_process_group()


def _all(workers, cases):
    kept = []
    for data, recipe, options in cases:
        history = kept[-1][1] if options.get("resumed") else []
        kept.append(_trained(workers, data, recipe, {**options, "saved": history[0] if history else None}))
    return kept


def _trained(workers, data, recipe, options):
    learner = TorchLearner(recipe, device="cpu", memory_limit=options.get("memory_limit"), data_workers=0)
    learner = learner.with_workers(workers)
    learner.check(data)
    tape, store, reports = Tape(options.get("wants", ("logits",))), Store(), []
    store.saved = options["saved"]
    told = lambda kind, **fields: reports.append((kind, fields))  # noqa: E731
    learner.fit(data, split(data), tape, store, seed=0, report=told)
    return tape.state(), store.history, reports
