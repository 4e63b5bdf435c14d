"""Everything a spec's `operation` can name; listing it loads nothing.

An operation is `run(pipe, spec, conditioning, *, generators, callback) -> float32 [batch, height, width, 3] in 0..1`.
"""

from __future__ import annotations

OPERATIONS: dict[str, str] = {
    "txt2img": "generation.operations.txt2img:run",
}
