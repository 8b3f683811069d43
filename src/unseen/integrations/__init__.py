"""Callbacks for other libraries: those that record held-out logits from your training loop, and those that track runs.

    from unseen.integrations.lightning import held_out     # Lightning's Trainer
    from unseen.integrations.fabric import held_out        # Fabric, and plain PyTorch
    from unseen.integrations.huggingface import held_out   # the Trainer of transformers
    from unseen.integrations.skorch import held_out        # skorch

All of these feed an `unseen.Recorder`, and refuse what would make the scores wrong: see `unseen.integrations.watching`.
`unseen.integrations.tracking` logs the results of the verbs to TensorBoard, Weights & Biases or MLflow. A library is
imported when its callback is made; one that is not installed is a `MissingDependencyError`.
"""
