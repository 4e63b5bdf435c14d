"""What the person talks to: shell, terminal screens, jobs, the language model.

Imports everything below it (`ingest`, `knowledge`, `generation`); nothing below imports it.
"""

__version__ = "0.1.0"
