"""Where vectors come from: built-in features that read no label, and backbones of the user's own."""

from unseen.embedding.base import Embedder, Embedding
from unseen.embedding.features import Columns, Patches, Tfidf

__all__ = ["Columns", "Embedder", "Embedding", "Patches", "Tfidf"]
