"""Where vectors come from: built-in features that read no label, and backbones of the user's own."""

from unseen.embedding.base import Embedder, Embedding
from unseen.embedding.columns import Columns
from unseen.embedding.patches import Patches
from unseen.embedding.texts import Tfidf

__all__ = ["Columns", "Embedder", "Embedding", "Patches", "Tfidf"]
