"""One file per file format; each reads to, or writes from, ``{name: StoredTensor}`` and knows no model."""
