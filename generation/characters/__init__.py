"""Characters as trees of small networks: Body > Torso > Arm, leaves that are LoRAs, branches that weigh them together.

| module | holds |
|---|---|
| `trees` | the YAML file as a checked tree; weights, ranges, presets; what acts at the end of each branch |
| `constraints` | comparisons of weights, parsed and never run as code |
| `making` | leaves that are merges made once; the whole as one LoRA, or as a prompt |
"""

from __future__ import annotations
