"""Vectors of images, texts and tables: `embed`, by built-in features that read no label or by a backbone of yours."""

from unseen.embedding.features import Columns, Embedder, Embedding, Patches, Tfidf

__all__ = ["Columns", "Embedder", "Embedding", "Patches", "Tfidf"]
