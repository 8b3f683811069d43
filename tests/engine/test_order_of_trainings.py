"""In which order trainings are handed to an executor."""

import numpy as np
import pytest

import unseen
from unseen.engine.executors.base import run_job
from unseen.engine.runs.base import MemoryRun
from unseen.engine.work import Training, Work


class Recording:
    """An executor that notes the order of the jobs it is given."""

    threads, workers = 1, 1

    def __init__(self, jobs):
        self.jobs, self.order = jobs, []

    def run(self, jobs, *, data, report):
        for job in jobs:
            self.order.append(job.name)
            yield job, run_job(job, data=data, threads=1, report=report)


@pytest.mark.parametrize(
    ("jobs", "order"), [(2, ["half", "more", "some", "few"]), (1, ["few", "half", "some", "more"])]
)
def test_several_workers_get_the_longest_training_first_and_one_gets_them_as_they_are(jobs, order):
    data, executor = unseen.data.resolve("digits"), Recording(jobs)
    work, run = Work(data, "extra_trees:n_estimators=5", executor=executor), MemoryRun()
    run.open({})
    sizes = {"few": 60, "half": 900, "some": 200, "more": 400}
    trainings = [Training(name, np.arange(size), 0, work.learner) for name, size in sizes.items()]
    done = {one.name: outcome.samples_seen for one, outcome in work.test(run, trainings, np.arange(1000, 1100), seed=0)}
    assert executor.order == order
    assert done == sizes
