"""Callbacks that record held-out logits from the loops people have, each in the module named after its library.

    from unseen.integrations.lightning import held_out     # Lightning's Trainer
    from unseen.integrations.fabric import held_out        # Fabric, and plain PyTorch
    from unseen.integrations.huggingface import held_out   # the Trainer of transformers
    from unseen.integrations.skorch import held_out        # skorch

All of them feed an `unseen.Recorder`, and refuse what would make the scores wrong: see `unseen.integrations.watching`.
None of these libraries is imported before its `held_out` is called.
"""
