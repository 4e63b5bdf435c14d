"""Every command of the shell in one table. Help, README and the parser come from it; listing it loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assistant.cli.control_table import TRAINING, preprocess_arguments
from assistant.cli.picture_table import arguments, grid_arguments
from assistant.cli.training_table import training_arguments
from generation.animation.stages import QUALITIES
from generation.merging import PRECISIONS
from generation.operations import OPERATIONS
from generation.training import TRAINERS


@dataclass(frozen=True)
class Argument:
    """One argument as argparse takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Command:
    """`run(options, paths, settings) -> (data, status)`; `show(data) -> text`. `light` ones load no model."""

    name: str
    help: str
    arguments: tuple[Argument, ...]
    run: str
    show: str
    light: bool = False


def _a(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


RUN = "assistant.cli.commands:"
SHOW = "assistant.cli.show:"
LIBRARY = "assistant.cli.library_commands:"
SHOW_LIBRARY = "assistant.cli.show_library:"
PROMPTS = "assistant.cli.prompt_commands:"
SHOW_PROMPTS = "assistant.cli.show_prompts:"
GALLERY = "assistant.cli.gallery_commands:"
CONTROLS = "assistant.cli.control_commands:"
PICTURES = "assistant.cli.picture_commands:"
MODELS = "assistant.cli.model_commands:"
RECIPES = "assistant.cli.recipe_commands:"
SHOW_MODELS = "assistant.cli.show_models:"
ANIMATION = "assistant.cli.animation_commands:"
ANIMATE = "assistant.cli.animate_commands:"
VIDEOS = "assistant.cli.video_commands:"
DATASETS = "assistant.cli.dataset_commands:"
CHARACTERS = "assistant.cli.character_commands:"
TRAINING_RUN = "assistant.cli.training_commands:"


def _picture(name: str, help: str, operation: str, run: str = "operate") -> Command:
    own = tuple(Argument(names, options) for names, options in arguments(operation))
    return Command(name.replace("_", "-"), help, own, PICTURES + run, SHOW + "render")


def _training(kind: str, help: str) -> Command:
    own = tuple(Argument(names, options) for names, options in training_arguments(kind))
    return Command(f"train {kind}", help, own, TRAINING_RUN + "train", TRAINING_RUN + "show_train")


# What a search or question may be confined to; in the question itself: tag:lens since:2024-05 (knowledge.filters).
FILTERS = (
    _a("--collection", metavar="NAME", help="only this collection"),
    _a("--path", metavar="PATTERN", help="only files whose path holds this pattern"),
    _a("--tag", metavar="TAG"),
    _a("--kind", metavar="KIND", help="only pdf, logseq, picture, ..."),
    _a("--since", metavar="DATE", help="2024, 2024-05 or 2024-05-31"),
    _a("--until", metavar="DATE"),
    _a("--prop", metavar="KEY=VALUE", action="append", help="only pages with this property"),
)

_ANIMATED = (
    _a("settings", metavar="SETTINGS", help="Deforum's settings file (JSON or .txt), or a guide's lines"),
    _a("-o", "--output", metavar="FILE", help=".mp4, .webm, .gif, .png (APNG); none: by the settings' name"),
    _a("--frames", type=int, metavar="N", help="only so many frames"),
    _a("--set", metavar="KEY=VALUE", action="append", help="another value for a key of the settings"),
    _a("--fresh", action="store_true", help="make frames that are there again"),
    _a("--no-measure", action="store_true", help="do not measure the video"),
    _a("--clip", metavar="DIR", help="folder of a CLIP model, for consistency"),
    _a("--write-settings", metavar="FILE", help="only write the settings, complete, as Deforum reads them"),
)
_CLIP = (
    _a("settings", nargs="?", metavar="SETTINGS", help="the clip's YAML file; none: --prompt"),
    _a("--prompt", metavar="TEXT", help="what is to be seen, and how it moves"),
    *_ANIMATED[1:3],
    _a("--seed", type=int, metavar="N", help="another seed"),
    *_ANIMATED[3:7],
)
_VIDEO = (
    _a("-o", "--output", metavar="FILE", help=".mp4, .webm, .gif, .png (APNG); none: by the names"),
    _a("--frames", type=int, metavar="N", help="only so many frames"),
    _a("--fresh", action="store_true", help="make frames that are there again"),
    _a("--no-measure", action="store_true", help="do not measure the video"),
    _a("--clip", metavar="DIR", help="folder of a CLIP model, for consistency"),
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "ingest",
        "Read files and folders of notes into the library; folders are kept in step from then on",
        (
            _a("paths", nargs="*", metavar="PATH", help="files or folders; none: every collection again"),
            _a("--collection", metavar="NAME", help="keep the folders under this name"),
        ),
        LIBRARY + "ingest",
        SHOW_LIBRARY + "ingest",
    ),
    Command(
        "search",
        "Find passages in the library",
        (
            _a("query", metavar="QUERY"),
            _a("-k", type=int, default=8, help="how many passages (8)"),
            _a("--explain", action="store_true", help="show the signals behind each score"),
            *FILTERS,
        ),
        LIBRARY + "search",
        SHOW_LIBRARY + "search",
    ),
    Command(
        "ask",
        "Answer a question from the library, with quotes and where they stand",
        (
            _a("question", metavar="QUESTION"),
            _a("--quotes", action="store_true", help="quotes alone, no language model"),
            _a("--conversation", type=int, metavar="N", help="go on with conversation N"),
            *FILTERS,
        ),
        LIBRARY + "ask",
        SHOW_LIBRARY + "ask",
    ),
    Command(
        "chat",
        "Ask one question after another; the conversation is kept",
        (_a("--conversation", type=int, metavar="N", help="go on with conversation N"), *FILTERS),
        LIBRARY + "chat",
        SHOW + "nothing",
    ),
    Command(
        "brief",
        "Show what the notes say about a subject, by document",
        (_a("topic", metavar="SUBJECT"), *FILTERS),
        LIBRARY + "brief",
        SHOW_LIBRARY + "brief",
    ),
    Command(
        "summarise",
        "Summarise a document in its own sentences, with who links to it",
        (
            _a("file", metavar="FILE", help="path, file name or title"),
            _a("--sentences", type=int, default=7, help="how many (7)"),
        ),
        LIBRARY + "summarise",
        SHOW_LIBRARY + "summarise",
    ),
    Command(
        "compare",
        "Show what two documents share and what each has alone",
        (
            _a("one", metavar="FILE"),
            _a("other", metavar="FILE"),
            _a("--sentences", type=int, default=5, help="how many of each kind (5)"),
        ),
        LIBRARY + "compare",
        SHOW_LIBRARY + "compare",
    ),
    Command(
        "library",
        "List every file of the library with its status and the reason for it",
        (
            _a("--status", metavar="WORD", help="only indexed, skipped or failed ones"),
            _a("--collection", metavar="NAME"),
        ),
        LIBRARY + "documents",
        SHOW_LIBRARY + "documents",
    ),
    Command(
        "collections list",
        "List the folders that are kept in step",
        (),
        LIBRARY + "collections",
        SHOW_LIBRARY + "collections",
        light=True,
    ),
    Command(
        "collections remove",
        "Keep a collection no longer; its files stay as they are",
        (_a("name", metavar="NAME"),),
        LIBRARY + "collection_remove",
        SHOW_LIBRARY + "removed",
    ),
    Command(
        "collections exclude",
        "Set the patterns of a collection's files that are not read",
        (_a("name", metavar="NAME"), _a("patterns", nargs="*", metavar="PATTERN", help="none: read all again")),
        LIBRARY + "collection_exclude",
        SHOW_LIBRARY + "ingest",
    ),
    Command(
        "duplicates", "Find documents that repeat each other", (), LIBRARY + "duplicates", SHOW_LIBRARY + "duplicates"
    ),
    Command(
        "unanswered",
        "List the questions the notes did not answer",
        (),
        LIBRARY + "unanswered",
        SHOW_LIBRARY + "unanswered",
        light=True,
    ),
    Command(
        "conversations list",
        "List conversations, or those that hold some words",
        (_a("query", nargs="?", metavar="WORDS"),),
        LIBRARY + "conversations",
        SHOW_LIBRARY + "conversations",
        light=True,
    ),
    Command(
        "conversations show",
        "Show a conversation",
        (_a("number", type=int, metavar="N"),),
        LIBRARY + "conversation_show",
        SHOW_LIBRARY + "conversation",
        light=True,
    ),
    Command(
        "conversations rename",
        "Give a conversation another title",
        (_a("number", type=int, metavar="N"), _a("title", metavar="TITLE")),
        LIBRARY + "conversation_rename",
        SHOW_LIBRARY + "renamed",
        light=True,
    ),
    Command(
        "conversations export",
        "Write a conversation with its citations to a file",
        (
            _a("number", type=int, metavar="N"),
            _a("--format", default="markdown", help="markdown, logseq, json or bibtex (markdown)"),
            _a("-o", "--output", metavar="FILE", help="file to write; - prints it"),
        ),
        LIBRARY + "conversation_export",
        SHOW_LIBRARY + "exported",
        light=True,
    ),
    Command(
        "conversations delete",
        "Delete a conversation",
        (_a("number", type=int, metavar="N"),),
        LIBRARY + "conversation_delete",
        SHOW_LIBRARY + "deleted",
        light=True,
    ),
    Command(
        "llm list",
        "List GGUF models with the memory they need",
        (),
        LIBRARY + "llm_list",
        SHOW_LIBRARY + "llm_list",
        light=True,
    ),
    Command(
        "llm use",
        "Choose the GGUF model that answers",
        (_a("name", metavar="MODEL", help="name or path"),),
        LIBRARY + "llm_use",
        SHOW_LIBRARY + "llm_use",
        light=True,
    ),
    Command(
        "prompt parse",
        "Show how a prompt is understood: texts and weights, networks, steps, warnings",
        (
            _a("text", metavar="TEXT"),
            _a("--syntax", choices=("a1111", "compel"), default="a1111", help="a1111 or compel (a1111)"),
            _a("--steps", type=int, default=20, help="steps that prompt editing is spread over (20)"),
        ),
        PROMPTS + "parse",
        SHOW_PROMPTS + "parse",
        light=True,
    ),
    Command(
        "prompt convert",
        "Put a prompt into the other syntax, and say what is lost",
        (
            _a("text", metavar="TEXT"),
            _a("--to", choices=("a1111", "compel"), required=True),
            _a("--from", dest="source", choices=("a1111", "compel"), help="none: the other one"),
        ),
        PROMPTS + "convert",
        SHOW_PROMPTS + "convert",
        light=True,
    ),
    Command(
        "prompt shorten",
        "Bring a prompt under a number of tokens with the least loss",
        (_a("text", metavar="TEXT"), _a("--budget", type=int, default=75, help="tokens (75)")),
        PROMPTS + "shorten",
        SHOW_PROMPTS + "shorten",
        light=True,
    ),
    Command(
        "prompt merge",
        "Join two prompts without saying anything twice",
        (_a("one", metavar="TEXT"), _a("other", metavar="TEXT")),
        PROMPTS + "merge",
        SHOW_PROMPTS + "text",
        light=True,
    ),
    Command(
        "prompt explain",
        "Say what each part of a prompt does, repetitions and contradictions too",
        (_a("text", metavar="TEXT"), _a("--negative", metavar="TEXT")),
        PROMPTS + "explain",
        SHOW_PROMPTS + "explain",
        light=True,
    ),
    Command(
        "prompt wildcards",
        "Draw prompts from a template with {a|b} and __names__; without one list the names",
        (
            _a("template", nargs="?", metavar="TEMPLATE"),
            _a("--count", type=int, default=1, help="how many (1)"),
            _a("--seed", type=int, default=0),
            _a("--all", action="store_true", help="every combination, as far as --count"),
        ),
        PROMPTS + "wildcards",
        SHOW_PROMPTS + "wildcards",
        light=True,
    ),
    Command("styles list", "List the styles", (), PROMPTS + "styles_list", SHOW_PROMPTS + "styles", light=True),
    Command(
        "styles import",
        "Read styles of a styles.csv (A1111) or a JSON file (Fooocus)",
        (_a("file", metavar="FILE"),),
        PROMPTS + "styles_import",
        SHOW_PROMPTS + "styles_imported",
        light=True,
    ),
    Command(
        "styles apply",
        "Put styles on a prompt",
        (
            _a("text", metavar="TEXT"),
            _a("names", nargs="+", metavar="STYLE"),
            _a("--negative", metavar="TEXT"),
        ),
        PROMPTS + "styles_apply",
        SHOW_PROMPTS + "styled",
        light=True,
    ),
    Command(
        "prompts list",
        "List the prompts that were kept, or those that hold some words",
        (
            _a("query", nargs="?", metavar="WORDS"),
            _a("--tag", metavar="TAG"),
            _a("--favourites", action="store_true"),
        ),
        PROMPTS + "shelf_list",
        SHOW_PROMPTS + "shelf",
        light=True,
    ),
    Command(
        "prompts add",
        "Keep a prompt",
        (
            _a("prompt", metavar="PROMPT"),
            _a("--negative", metavar="TEXT"),
            _a("--name", metavar="NAME"),
            _a("--tag", metavar="TAG", action="append"),
            _a("--favourite", action="store_true"),
        ),
        PROMPTS + "shelf_add",
        SHOW_PROMPTS + "kept",
        light=True,
    ),
    Command(
        "prompts import",
        "Keep the prompt of a picture, or of every picture in a folder",
        (_a("path", metavar="PATH"),),
        PROMPTS + "shelf_import",
        SHOW_PROMPTS + "imported",
        light=True,
    ),
    Command(
        "prompts export",
        "Write kept prompts to a file",
        (
            _a("file", metavar="FILE"),
            _a("--format", default="json", help="styles, json or markdown (json)"),
            _a("--query", metavar="WORDS"),
            _a("--tag", metavar="TAG"),
        ),
        PROMPTS + "shelf_export",
        SHOW_PROMPTS + "exported",
        light=True,
    ),
    Command(
        "prompts frequent",
        "List the phrases you use most, in prompts and in negatives",
        (_a("-n", type=int, default=20, help="how many of each (20)"),),
        PROMPTS + "frequent",
        SHOW_PROMPTS + "frequent",
        light=True,
    ),
    Command(
        "prompts remove",
        "Keep a prompt no longer",
        (_a("number", type=int, metavar="N"),),
        PROMPTS + "shelf_remove",
        SHOW_PROMPTS + "removed",
        light=True,
    ),
    Command(
        "prompt chunks",
        "Show the 75-token chunks of a prompt",
        (_a("text", metavar="TEXT"),),
        RUN + "prompt_chunks",
        SHOW + "prompt_chunks",
        light=True,
    ),
    Command(
        "prompt expand",
        "Expand an idea into a prompt, informed by the library",
        (
            _a("idea", metavar="IDEA"),
            _a(
                "--strength",
                type=float,
                default=0.7,
                help="0 adds nothing, 1 fills every slot (0.7)",
            ),
            _a("--chunks", type=int, default=1, help="budget in chunks of 75 tokens (1)"),
            _a("--seed", type=int, default=0),
            _a("--no-notes", action="store_true", help="do not look into the library"),
            _a("--style", default="auto", help="tags, sentence, or auto by the idea's own form (auto)"),
            _a("--template", metavar="NAME", default="auto", help="portrait, landscape, object, scene, ... (auto)"),
            _a("--negative", metavar="TEXT", help="what you have; the proposal goes on from it"),
            _a("--family", metavar="NAME", help="sd15, sdxl or flux: how long a negative it takes"),
            _a("--variants", type=int, default=1, metavar="N", help="how many to choose from (1)"),
        ),
        PROMPTS + "expand",
        SHOW + "prompt_expand",
    ),
    Command(
        "prompt translate",
        "Put a prompt into English, its weights and networks as they are",
        (_a("text", metavar="TEXT"),),
        PROMPTS + "translate",
        SHOW_PROMPTS + "translate",
    ),
    _picture("render", "Render a prompt to a picture", "txt2img", "render"),
    *(_picture(name, operation.help, name) for name, operation in OPERATIONS.items() if name != "txt2img"),
    Command(
        "grid",
        "Render a sheet over one to three axes (X/Y/Z), or a prompt matrix",
        tuple(Argument(names, options) for names, options in grid_arguments()),
        PICTURES + "grid",
        SHOW + "grid",
    ),
    Command(
        "preprocess",
        "Make a condition for control of a picture: edges, lines, poses, depth, ...",
        tuple(Argument(names, options) for names, options in preprocess_arguments()),
        CONTROLS + "preprocess",
        CONTROLS + "show_preprocess",
    ),
    Command(
        "train controlnet",
        "Train a ControlNet for a checkpoint on a folder of pictures",
        tuple(Argument(names, options) for names, options in TRAINING),
        CONTROLS + "train",
        CONTROLS + "show_train",
    ),
    *(_training(kind, trainer.help) for kind, trainer in TRAINERS.items()),
    Command(
        "train plan",
        "Show what a training would do before it starts: buckets, crops, steps, memory, time, and what is amiss",
        (
            _a("dataset", metavar="DATASET", help="a folder of pictures, kohya's layout, or a JSONL file"),
            _a("--kind", metavar="KIND", default="lora", help="lora, dreambooth, finetune or embedding (lora)"),
            _a("--preset", metavar="WORD", default="character", help="character, style or object (character)"),
            _a("--model", metavar="NAME", help="the checkpoint that is trained"),
            _a("--memory", type=float, metavar="GB", help="plan for a card of 8, 12, 24 GB; none: what is here"),
            _a(
                "--set",
                metavar="NAME=VALUE",
                action="append",
                default=[],
                help="a setting in place of the preset's",
            ),
            _a("--no-upscale", action="store_true", help="never enlarge a picture; the same as --set upscale=no"),
            _a("--regularisation", metavar="FOLDER", help="pictures of the class"),
            _a("--contact", metavar="FILE", help="PNG to write: the pictures with what is cropped off"),
            _a("--no-look", action="store_true", help="do not decode the pictures: no check for damage, blur, copies"),
        ),
        DATASETS + "plan",
        DATASETS + "show_plan",
    ),
    Command(
        "captions",
        "Count, edit or make the captions of a dataset; former ones are kept",
        (
            _a("dataset", metavar="DATASET", help="a folder of pictures, kohya's layout, or a JSONL file"),
            _a("--stats", action="store_true", help="how often each tag is there"),
            _a("--find", metavar="TEXT", help="text to find, as it stands"),
            _a("--replace", metavar="TEXT", help="text to put in its place"),
            _a("--remove", metavar="TAG", action="append", default=[], help="a tag to remove"),
            _a("--prefix", metavar="TEXT", help="put before, with a comma; after a blank at its end without"),
            _a("--suffix", metavar="TEXT", help="put behind"),
            _a("--auto", metavar="FOLDER", help="caption pictures that have none by a BLIP or WD-tagger folder"),
            _a("--threshold", type=float, metavar="N", help="least share of a tagger's general tags (0.35)"),
            _a("--overwrite", action="store_true", help="with --auto: pictures that have a caption as well"),
            _a("--dry-run", action="store_true", help="show what would change"),
            _a("--undo", action="store_true", help="take the last edit back"),
        ),
        DATASETS + "captions",
        DATASETS + "show_captions",
    ),
    Command(
        "merge",
        "Merge checkpoints and LoRAs by a recipe: sums, differences, TIES, DARE, slerp, extraction, another VAE",
        (
            _a("recipe", metavar="RECIPE", nargs="?", help="a line, a text file, or a merge's result to make it again"),
            _a("-o", "--output", metavar="FILE", help=".safetensors to write; a folder where folders are merged"),
            _a("--dry-run", action="store_true", help="show size, family and missing tensors without reading weights"),
            _a("--precision", choices=PRECISIONS, help="number format; none: the weights' own, fp16 for networks"),
            _a("--no-render", action="store_true", help="no test picture"),
            _a("--force", action="store_true", help="put the result in the place of what is there"),
            _a("--list", action="store_true", help="list the methods and what they take"),
        ),
        "assistant.cli.merge_commands:merge",
        "assistant.cli.merge_commands:show",
    ),
    Command(
        "character",
        "Weigh a character's parts, render it, or make one LoRA of it (a tree of networks in a YAML file)",
        (
            _a("tree", metavar="TREE", help="the character's file"),
            _a("--set", metavar="PART=WEIGHT", action="append", default=[], help="body.torso.arm=0.7"),
            _a("--preset", metavar="NAME", help="weights the file keeps under this name"),
            _a("--render", metavar="PROMPT", help="render it; '' is the file's own prompt"),
            _a("--prompt", metavar="TEXT", help="show the prompt with the networks' weights"),
            _a("--export", metavar="FILE", help="write everything that acts as one LoRA"),
            _a("-o", "--output", metavar="FILE", help="PNG to write"),
            _a("--negative", metavar="TEXT"),
            _a("--model", metavar="NAME"),
            _a("--seed", type=int),
            _a("--steps", type=int),
            _a("--cfg", type=float),
            _a("--sampler", metavar="NAME"),
            _a("--width", type=int),
            _a("--height", type=int),
        ),
        CHARACTERS + "character",
        CHARACTERS + "show_character",
    ),
    Command(
        "recipe run",
        "Run a recipe (a graph of operations in a YAML file) over pictures, folders or prompts",
        (
            _a("recipe", metavar="FILE", help="the recipe"),
            _a("inputs", nargs="*", metavar="INPUT", help="pictures, folders or patterns; none: those of the recipe"),
            _a("-o", "--output", metavar="DIR", help="folder for the pictures; none: recipes in the pictures folder"),
            _a("--off", metavar="STAGE", action="append", help="switch a stage off: it passes its picture through"),
            _a("--set", metavar="NAME=VALUE", action="append", help="stage.setting=value, or variable=value"),
            _a("--dry-run", action="store_true", help="check everything and show what would run"),
            _a("--cluster", type=int, metavar="N", help="hand the inputs out to N workers of Ray"),
        ),
        RECIPES + "run",
        RECIPES + "show_run",
    ),
    Command(
        "recipe check",
        "Check a recipe without running it",
        (_a("recipe", metavar="FILE", help="the recipe"),),
        RECIPES + "check",
        RECIPES + "show_plan",
        light=True,
    ),
    Command(
        "recipe save",
        "Make a recipe of a picture's own settings, and of those of the pictures it was made from",
        (
            _a("picture", metavar="PICTURE"),
            _a("-o", "--output", metavar="FILE", help="the YAML file; none: beside the picture"),
            _a("--force", action="store_true", help="write over a file that is there"),
        ),
        RECIPES + "save",
        RECIPES + "show_plan",
        light=True,
    ),
    Command(
        "gallery list",
        "List the pictures, or those that fit: words, model:x, seed:5, sampler:x, rating:>=3",
        (_a("query", nargs="?", metavar="WORDS"), _a("-n", type=int, default=50, help="how many (50)")),
        GALLERY + "listed",
        SHOW + "gallery",
        light=True,
    ),
    Command(
        "gallery rate",
        "Rate a picture from 1 to 5; 0 takes the rating away",
        (_a("picture", metavar="PICTURE"), _a("rating", type=int, metavar="N")),
        GALLERY + "rate",
        SHOW + "rated",
        light=True,
    ),
    Command(
        "image-info",
        "Show the metadata of a picture: A1111, ComfyUI, InvokeAI, Atelier",
        (_a("file", metavar="FILE"),),
        RUN + "image_info",
        SHOW + "image_info",
        light=True,
    ),
    Command(
        "models list",
        "List checkpoints and other weights",
        (
            _a("words", nargs="*", metavar="WORD", help="only those with these words in path or trigger words"),
            _a("--kind", metavar="KIND", help="checkpoint, lora, vae, controlnet, embedding, upscaler, ..."),
            _a("--family", metavar="FAMILY", help="sd15, sd2, sdxl, sdxl-inpainting, ..."),
        ),
        MODELS + "models_list",
        SHOW_MODELS + "models_list",
        light=True,
    ),
    Command(
        "models info",
        "Show all that is known of a model: family, trigger words, hashes, picture",
        (
            _a("name", metavar="NAME", help="name in `atelier models list`, a path or a hash"),
            _a("--hash", action="store_true", help="count its hashes (reads the whole file, once)"),
        ),
        MODELS + "models_info",
        SHOW_MODELS + "models_info",
        light=True,
    ),
    Command(
        "models import",
        "Use the models of A1111, ComfyUI, InvokeAI where they lie; without a folder: say where some are",
        (
            _a("folder", nargs="?", metavar="FOLDER", help="the tool's folder, or any folder of models"),
            _a("--all", action="store_true", help="add every tool's folder that is found"),
        ),
        MODELS + "models_import",
        SHOW_MODELS + "models_import",
        light=True,
    ),
    Command(
        "animate deforum",
        "Make an animation of Deforum's settings; stopped, the same command goes on with the same frames",
        _ANIMATED,
        ANIMATE + "deforum",
        ANIMATE + "show_made",
    ),
    Command(
        "animate walk",
        "Walk from prompt to prompt and seed to seed over the frames",
        _ANIMATED,
        ANIMATE + "walk",
        ANIMATE + "show_made",
    ),
    Command(
        "animate motion",
        "Make a clip with a motion module or a video model, of a YAML file or of a prompt alone",
        _CLIP,
        ANIMATE + "motion",
        ANIMATE + "show_made",
    ),
    Command(
        "animate measure",
        "Measure how steady a video is: warp error, motion, flicker, consistency",
        (
            _a("video", metavar="VIDEO", help="a video, or a folder of frames"),
            _a("--source", metavar="VIDEO", help="what it was made from, whose motion counts"),
            _a("--clip", metavar="DIR", help="folder of a CLIP model, for consistency"),
        ),
        ANIMATE + "measure",
        ANIMATE + "show_measure",
    ),
    Command(
        "animate vid2vid",
        "Make a video over by the stages of a YAML file; stopped, the same command goes on with the same frames",
        (
            _a("file", metavar="FILE", help="the stages"),
            _a("video", nargs="?", metavar="VIDEO", help="the video, or a folder of frames; none: that of the file"),
            *_VIDEO,
            _a("--off", metavar="STAGE", action="append", help="pass a stage over"),
            _a("--set", metavar="STAGE.SETTING=VALUE", action="append", help="another value for once; also width=512"),
            _a("--preview", type=int, metavar="FRAME", help="make this frame alone"),
            _a("--stage", metavar="STAGE", help="of this stage; input: of the video (the last)"),
            _a("--dry-run", action="store_true", help="check the file and say what would be done"),
        ),
        VIDEOS + "vid2vid",
        VIDEOS + "show_made",
    ),
    Command(
        "animate interpolate",
        "Put frames between those of a video, by optical flow or a local file of RIFE, FILM or FLAVR",
        (
            _a("video", metavar="VIDEO", help="a video, or a folder of frames"),
            *_VIDEO,
            _a("--factor", type=int, default=2, metavar="N", help="how many times more frames (2)"),
            _a("--quality", choices=QUALITIES, help="how finely motion is looked for (medium)"),
            _a("--network", metavar="FILE", help="flownet.pkl of RIFE, film_net_fp32.pt, FLAVR_2x.pth"),
        ),
        VIDEOS + "interpolate",
        VIDEOS + "show_made",
    ),
    Command(
        "schedule",
        "Draw the values of an animation's schedule, frame by frame",
        (
            _a("text", metavar="TEXT", help='such as "0:(0), 30:(15), max_f:(sin(t/10))"'),
            _a("--frames", type=int, default=120, metavar="N", help="frames of the animation (120)"),
            _a("--seed", type=int, default=-1, metavar="S", help="what s stands for (-1)"),
            _a("--words", action="store_true", help="the values are names, such as samplers"),
            _a(
                "--interpolation",
                choices=("linear", "quadratic", "cubic"),
                default="linear",
                help="between numbers: linear, quadratic or cubic (linear)",
            ),
        ),
        ANIMATION + "schedule",
        ANIMATION + "show_schedule",
        light=True,
    ),
    Command(
        "jobs",
        "List jobs, or run one again",
        (
            _a("--again", type=int, metavar="ID", help="run job ID once more"),
            _a("-n", type=int, default=20, help="how many (20)"),
        ),
        RUN + "jobs",
        SHOW + "jobs",
    ),
    Command(
        "doctor",
        "Check the installation and the library",
        (
            _a(
                "--rebuild",
                action="store_true",
                help="make the library's index again from its store",
            ),
        ),
        RUN + "doctor",
        SHOW + "doctor",
    ),
    Command("where", "Print every path that is used", (), RUN + "where", SHOW + "where", light=True),
    Command(
        "settings",
        "Show the settings, or set one",
        (_a("name", nargs="?"), _a("value", nargs="?")),
        RUN + "settings",
        SHOW + "settings",
        light=True,
    ),
    Command("bench", "Measure what should be fast, side by side", (), RUN + "bench", SHOW + "bench"),
    Command(
        "eval retrieval",
        "Score retrieval on a folder in BEIR layout",
        (_a("folder", metavar="DIR"), _a("--embedder", metavar="NAME", help="other than the setting's")),
        LIBRARY + "eval_retrieval",
        SHOW_LIBRARY + "eval_retrieval",
    ),
    Command(
        "eval answers",
        "Score answers over the library on questions of a JSONL file",
        (_a("file", metavar="FILE"),),
        LIBRARY + "eval_answers",
        SHOW_LIBRARY + "eval_answers",
    ),
    Command(
        "eval prompts",
        "Score expansions of ideas: words kept, phrases repeated, budget kept",
        (
            _a("file", metavar="FILE", help="GenEval JSONL, PartiPrompts TSV, or one idea a line"),
            _a("--limit", type=int, metavar="N", help="only the first N ideas"),
            _a("--chunks", type=int, default=1, help="budget in chunks of 75 tokens (1)"),
            _a("--style", default="tags", help="tags, sentence or auto (tags)"),
        ),
        PROMPTS + "eval_prompts",
        SHOW_PROMPTS + "evaluation",
    ),
)
