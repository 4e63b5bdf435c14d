"""Work as data: a spec in a SQLite row, a lane that carries it to a warm child process, a handler that does it.

`HANDLERS` names everything that can be asked for; listing it loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of job. `durable` ones get a row that outlives the program; the others are questions of the moment."""

    handler: str
    lane: str
    durable: bool
    help: str


_LIBRARY = "assistant.jobs.library:"
_OTHERS = "assistant.jobs.handlers:"
_CONTROL = "assistant.jobs.control:"
_TRAINING = "assistant.jobs.training:train"

HANDLERS: dict[str, Kind] = {
    "render": Kind(_OTHERS + "render", "studio", True, "Render a picture"),
    "grid": Kind(_OTHERS + "grid", "studio", True, "Render a grid"),
    "preprocess": Kind(_CONTROL + "preprocess", "studio", False, "Make a condition of a picture"),
    "train-controlnet": Kind(_CONTROL + "train_controlnet", "studio", True, "Train a ControlNet"),
    "train-lora": Kind(_TRAINING, "studio", True, "Train a LoRA"),
    "train-dreambooth": Kind(_TRAINING, "studio", True, "Train a DreamBooth model"),
    "train-embedding": Kind(_TRAINING, "studio", True, "Learn a word"),
    "train-motion": Kind(_TRAINING, "studio", True, "Train a motion module"),
    "train-finetune": Kind(_TRAINING, "studio", True, "Fine-tune a model"),
    "plan-training": Kind("assistant.jobs.datasets:plan", "studio", False, "Plan a training"),
    "captions": Kind("assistant.jobs.datasets:captions", "studio", False, "Edit or make captions"),
    "merge": Kind("assistant.jobs.merging:run", "studio", True, "Merge weights"),
    "character": Kind("assistant.jobs.characters:character", "studio", True, "Weigh a character"),
    "recipe": Kind("assistant.jobs.recipes:run", "studio", True, "Run a recipe"),
    "animate": Kind("assistant.jobs.animation:animate", "studio", True, "Make or measure an animation"),
    "vid2vid": Kind("assistant.jobs.videos:vid2vid", "studio", True, "Make a video over"),
    "motion": Kind("assistant.jobs.motion:motion", "studio", True, "Make a clip with a motion model"),
    "video-frame": Kind("assistant.jobs.videos:vid2vid", "studio", False, "Look at a frame of a video"),
    "timeline": Kind("assistant.jobs.timelines:timeline", "library", False, "Evaluate an animation's schedules"),
    "ingest": Kind(_LIBRARY + "ingest", "library", True, "Read notes into the library"),
    "sync": Kind(_LIBRARY + "sync", "library", True, "Bring the library up to date"),
    "forget": Kind(_LIBRARY + "forget", "library", True, "Keep a collection no longer"),
    "exclude": Kind(_LIBRARY + "exclude", "library", True, "Change what of a collection is read"),
    "rebuild": Kind(_LIBRARY + "rebuild", "library", True, "Make the index again"),
    "search": Kind(_LIBRARY + "search", "library", False, "Search the library"),
    "ask": Kind(_LIBRARY + "ask", "library", False, "Answer from the library"),
    "brief": Kind(_LIBRARY + "brief", "library", False, "What the notes say about a subject"),
    "summarise": Kind(_LIBRARY + "summarise", "library", False, "Summarise a document"),
    "compare": Kind(_LIBRARY + "compare", "library", False, "Compare two documents"),
    "documents": Kind(_LIBRARY + "documents", "library", False, "List the library"),
    "duplicates": Kind(_LIBRARY + "duplicates", "library", False, "Find documents that repeat each other"),
    "guide-settings": Kind("assistant.jobs.training:guide_settings", "library", False, "Find settings in the notes"),
    "expand": Kind(_OTHERS + "expand", "library", False, "Expand an idea"),
    "warm": Kind(_OTHERS + "warm", "library", False, "Load what answers need"),
    "release": Kind(_OTHERS + "release", "library", False, "Give memory back"),
    "release-studio": Kind(_OTHERS + "release", "studio", False, "Give memory back"),
}
LANES = ("library", "studio")
