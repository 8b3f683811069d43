"""Callbacks that record held-out logits from training loops of other libraries, one module for each library.

    from unseen.integrations.lightning import held_out     # Lightning's Trainer
    from unseen.integrations.fabric import held_out        # Fabric, and plain PyTorch
    from unseen.integrations.huggingface import held_out   # the Trainer of transformers
    from unseen.integrations.skorch import held_out        # skorch

All of them feed an `unseen.Recorder`, and refuse what would make the scores wrong; see `unseen.integrations.watching`.
A library is imported only when its `held_out` is called.
"""
