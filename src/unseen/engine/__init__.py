"""The engine that carries out fits: the scoring job, the work of a verb, executors and runs."""
