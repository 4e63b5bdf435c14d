"""Training: what a person teaches a model. A module a kind of weights; each saves as it goes and may be killed.

`TRAINERS` names the kinds; what is trained in each is a `Learner` (see `learners`), and one loop trains them all. A
ControlNet, which learns from pairs of pictures, has a loop of its own in `controlnet`.
"""

from __future__ import annotations

from dataclasses import dataclass

from generation.errors import GenerationError


class TrainingFailed(GenerationError):
    """The training began and cannot go on."""


@dataclass(frozen=True)
class Trainer:
    """`learner`, `dataset` and `examples` are "module:attribute" of what is trained, what reads a dataset, and what
    makes batches of it; `help` is a sentence, `ending` that of the file it writes."""

    learner: str
    help: str
    ending: str = ".safetensors"
    dataset: str = "generation.training.datasets:read"
    examples: str = "generation.training.examples:Examples"


TRAINERS: dict[str, Trainer] = {
    "lora": Trainer("generation.training.adapters:Adapter", "Train a LoRA or a LyCORIS network"),
    "dreambooth": Trainer("generation.training.whole:Whole", "Train the whole model on a subject, the class kept"),
    "embedding": Trainer("generation.training.inversion:Word", "Learn a word of the prompt (textual inversion)"),
    "finetune": Trainer("generation.training.whole:Whole", "Train the whole model on pictures with captions"),
    "motion": Trainer(
        "generation.training.motion:Motion",
        "Train a motion module on clips",
        dataset="generation.training.clips:read",
        examples="generation.training.clips:Clips",
    ),
}
