"""What carries fits out: the scoring job, the work, executors and runs."""
