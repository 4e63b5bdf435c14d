"""Every key in one table. Bindings, the help screen and the README come from it.

Ctrl+H, Ctrl+I, Ctrl+M and Ctrl+[ are never bound: a terminal sends them for Backspace, Tab, Enter and Esc.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding

# What some terminals send for a key that another name stands for already.
ALSO = frozenset({"f17"})  # Shift+F5


@dataclass(frozen=True)
class Key:
    """`where` is the room or widget; `keys` as Textual names them; `footer` shows it at the bottom."""

    where: str
    keys: str
    action: str
    label: str
    help: str
    footer: bool = True
    priority: bool = False

    @property
    def shown(self) -> str:
        """`F5, Ctrl+R`."""
        names = {
            "enter": "Enter", "escape": "Esc", "up": "Up", "down": "Down", "pageup": "PgUp", "pagedown": "PgDn",
            "delete": "Delete", "space": "Space",
            "plus": "+", "equals_sign": "=", "minus": "-", "slash": "/", "home": "Home", "end": "End",
        }  # fmt: skip
        out = []
        for key in self.keys.split(","):
            if key in ALSO:
                continue
            parts = []
            for part in key.split("+"):
                title = part.capitalize() if part in {"ctrl", "shift", "alt"} else part.upper()
                parts.append(names.get(part, title if len(part) > 1 or "+" in key else part))
            out.append("+".join(parts))
        return ", ".join(out)


KEYS: tuple[Key, ...] = (
    Key("everywhere", "f1", "room('help')", "Help", "This page", priority=True),
    Key("everywhere", "f2", "room('library')", "Library", "Ask your notes", False, True),
    Key("everywhere", "f3", "room('draft')", "Draft", "Write a prompt", False, True),
    Key("everywhere", "f4", "room('studio')", "Studio", "Pictures and their settings", False, True),
    Key("everywhere", "f6", "room('jobs')", "Jobs", "What runs and what ran", False, True),
    Key("everywhere", "f7", "library('conversations')", "Talks", "Former conversations", priority=True),
    Key("everywhere", "f9", "library('shelf')", "Files", "Every file of the library and its status", priority=True),
    Key("everywhere", "f8", "settings", "Settings", "Change the settings", False, True),
    Key("everywhere", "ctrl+p", "command_palette", "Palette", "Every action by name", False, True),
    Key(
        "everywhere",
        "ctrl+q",
        "leave",
        "Quit",
        "Quit; asks first when work is running",
        priority=True,
    ),
    Key(
        "everywhere",
        "escape",
        "cancel",
        "Cancel",
        "Cancel the work of this room, then leave the field",
        False,
    ),
    Key("library", "enter", "send", "Ask", "Send the question", False),
    Key("library", "ctrl+j", "newline", "New line", "A new line in the question", False),
    Key("library", "ctrl+o", "open_citation", "Sources", "Go to the sources of the last answer"),
    Key("library", "ctrl+n", "add_notes", "Add notes", "Add a folder or file of notes"),
    Key("library", "ctrl+l", "new_conversation", "New", "Begin a new conversation", False),
    Key("library", "ctrl+b", "read_again", "Read again", "Read again what changed in your notes", False),
    Key("source", "enter", "open", "Open", "Show the passage, highlighted in its file", False),
    Key("source", "e", "edit", "Edit", "Open the file at the line in your editor", False),
    Key("source", "o", "picture", "Picture", "Open the picture the passage is about", False),
    Key("source", "j,down", "cursor_down", "Down", "Next source", False),
    Key("source", "k,up", "cursor_up", "Up", "Former source", False),
    Key("conversations", "escape,q", "close", "Close", "Back to the room", False),
    Key("conversations", "r", "rename", "Rename", "Give it another title", False),
    Key("conversations", "m", "export('markdown')", "Markdown", "Write it to a Markdown file", False),
    Key("conversations", "l", "export('logseq')", "Logseq", "Write it as Logseq blocks", False),
    Key("conversations", "s", "export('json')", "JSON", "Write it as JSON", False),
    Key("conversations", "b", "export('bibtex')", "BibTeX", "Write what it cites as BibTeX", False),
    Key("conversations", "x,delete", "delete", "Delete", "Delete it", False),
    Key("conversations", "j", "cursor_down", "Down", "Next conversation", False),
    Key("conversations", "k", "cursor_up", "Up", "Former conversation", False),
    Key("files", "escape,q", "close", "Close", "Back to the room", False),
    Key("files", "a", "add", "Add", "Add a folder or file of notes", False),
    Key("files", "r", "read_again", "Read again", "Read again what changed", False),
    Key("files", "e", "exclude", "Exclude", "Patterns of the collection that are not read", False),
    Key("files", "x,delete", "forget", "Forget", "Keep the file's collection no longer", False),
    Key("files", "d", "duplicates", "Copies", "Documents that repeat each other", False),
    Key("files", "u", "unanswered", "Unanswered", "Questions your notes did not answer", False),
    Key("files", "j", "cursor_down", "Down", "Next file", False),
    Key("files", "k", "cursor_up", "Up", "Former file", False),
    Key("draft", "f5,ctrl+r", "render", "Render", "Render the prompt", priority=True),
    Key("draft", "shift+f5,f17", "render_four", "Four", "Render it with four seeds", False, True),
    Key("draft", "ctrl+b", "picture", "Picture", "Go to the picture beside the text, and back", False, True),
    Key("draft", "f10", "versions", "Versions", "Former versions of the draft, beside the text of now", False, True),
    Key(
        "draft",
        "ctrl+g",
        "expand",
        "Expand",
        "Propose an expansion of the prompt; again: the next variant",
        priority=True,
    ),
    Key("draft", "ctrl+t", "apply", "Take it", "Take the proposed expansion", False, True),
    Key(
        "draft",
        "ctrl+up",
        "weigh(0.1)",
        "Weight up",
        "Raise the weight of the selection or word",
        False,
        True,
    ),
    Key(
        "draft",
        "ctrl+down",
        "weigh(-0.1)",
        "Weight down",
        "Lower the weight of the selection or word",
        False,
        True,
    ),
    Key("draft", "ctrl+s", "keep", "Keep", "Put the prompt on your shelf", False, True),
    Key("draft", "ctrl+o", "kept", "Kept", "The prompts you kept", False, True),
    Key("draft", "ctrl+z", "undo", "Undo", "Undo the last change of the text", False),
    Key("kept", "escape,q", "close", "Close", "Back to the room", False),
    Key("kept", "f", "star", "Star", "Star it, or not", False),
    Key("kept", "x,delete", "remove", "Remove", "Take it off the shelf", False),
    Key("kept", "u", "used", "Most used", "The phrases you use most, in prompts and negatives", False),
    Key("kept", "j", "cursor_down", "Down", "Next prompt", False),
    Key("kept", "k", "cursor_up", "Up", "Former prompt", False),
    Key("studio", "f5,ctrl+r", "render", "Render", "Render the prompt of the draft", priority=True),
    Key("studio", "shift+f5,f17", "render_four", "Four", "Render it with four seeds", False, True),
    Key("studio", "ctrl+d", "draw_mask", "Mask", "Draw the mask of an inpainting over its picture", False, True),
    Key("studio", "ctrl+k", "attach", "Attach", "Controls, references, regions, modifiers", False, True),
    Key("studio", "ctrl+t", "train", "Train", "Plan a training and run it", False, True),
    Key(
        "studio", "ctrl+y", "animate", "Animate", "A timeline of prompts and schedules, made into a video", False, True
    ),
    Key("attachments", "c", "add('controls')", "Control", "Add a control: edges, poses, depth, ...", False),
    Key("attachments", "r", "add('references')", "Reference", "Add a picture to refer to (IP-Adapter)", False),
    Key("attachments", "g", "add('regions')", "Region", "Add a part of the picture with a prompt of its own", False),
    Key("attachments", "m", "modifiers", "Modifiers", "FreeU, tiling, refiner, what makes it faster", False),
    Key("attachments", "x,delete", "remove", "Take off", "Take the chosen one off", False),
    Key("attachments", "escape,q", "close", "Done", "Back to the Studio", False),
    Key("form", "ctrl+s", "take", "Take", "Take what was typed", False, True),
    Key("form", "escape", "close", "Close", "Back without a change", False),
    Key("recipe", "f5,ctrl+r", "run", "Run", "Run the recipe", False, True),
    Key("recipe", "space", "switch", "Switch", "Switch a stage on or off", False),
    Key("recipe", "escape", "close", "Close", "Back; a recipe that runs goes on", False),
    Key("merge", "f5,ctrl+r", "run", "Merge", "Merge as the recipe says", False, True),
    Key("merge", "shift+f5,f17", "stop", "Stop", "Stop the merge; nothing is written", False, True),
    Key("merge", "escape", "close", "Close", "Back; a merge goes on", False),
    Key("character", "f5,ctrl+r", "render", "Render", "Render the character as weighed", False, True),
    Key("character", "n", "seed", "Seed", "Render it with another seed", False),
    Key("character", "e", "export", "One LoRA", "Write everything that acts as one LoRA, among your models", False),
    Key("character", "escape", "close", "Close", "Back; the file stays as it is", False),
    Key("training", "f5,ctrl+r", "train", "Train", "Train as planned", False, True),
    Key("training", "s", "settings", "Settings", "Change the settings of the plan", False),
    Key("training", "c", "captions", "Captions", "Edit the captions of the dataset", False),
    Key("training", "p", "pause", "Pause", "Pause the training with its state kept, or go on", False),
    Key("training", "x,delete", "stop", "Stop", "Stop the training; its state is kept", False),
    Key("training", "v", "view", "View", "The plan, or the losses", False),
    Key("training", "j", "cursor_down", "Down", "Next line of the plan", False),
    Key("training", "k", "cursor_up", "Up", "Former line of the plan", False),
    Key("training", "escape,q", "close", "Close", "Back; a training goes on", False),
    Key(
        "animation",
        "f5,ctrl+r",
        "animate",
        "Animate",
        "Make the animation; what is there is not made again",
        False,
        True,
    ),
    Key("animation", "left,h", "step(-1)", "Back", "The frame before", False),
    Key("animation", "right,l", "step(1)", "On", "The next frame", False),
    Key("animation", "shift+left,b", "key(-1)", "Key before", "The key before, of what is chosen", False),
    Key("animation", "shift+right,w", "key(1)", "Next key", "The next key of what is chosen", False),
    Key("animation", "g", "go", "Go", "Go to a frame by its number", False),
    Key(
        "animation", "enter", "edit", "Value", "Type the prompt or value of the frame; behind a colon an easing", False
    ),
    Key("animation", "delete,d", "remove", "Remove", "Take the key of the frame out", False),
    Key("animation", "space", "still", "Still", "Render the prompt of the frame by itself", False),
    Key("animation", "t", "settings", "Settings", "Frames, size, seed, what moves, sound", False),
    Key("animation", "s", "save", "Save", "Write the settings as a Deforum settings file", False),
    Key("animation", "p", "pause", "Pause", "Pause with the frames kept, or go on", False),
    Key("animation", "x", "stop", "Stop", "Stop; the frames are kept", False),
    Key("animation", "m", "moving", "Moving", "Make a clip that moves by itself, by a motion model", False),
    Key("animation", "o", "over", "Over", "Make a film over by stages: video to video", False),
    Key("animation", "v", "view", "View", "The list or the picture, where there is room for one", False),
    Key("animation", "j", "cursor_down", "Down", "Next schedule", False),
    Key("animation", "k", "cursor_up", "Up", "Former schedule", False),
    Key("animation", "escape,q", "close", "Close", "Leave the field, then back; an animation goes on", False),
    Key(
        "video",
        "f5,ctrl+r",
        "make",
        "Make",
        "Run the film through the stages; what is there is not made again",
        False,
        True,
    ),
    Key("video", "space", "switch", "Switch", "Switch the stage on or off", False),
    Key("video", "enter", "edit", "Settings", "The settings of the stage, or of the film", False),
    Key("video", "f", "frame", "Frame", "Make and show the playhead's frame behind the stage, no other", False),
    Key("video", "left,h", "step(-1)", "Back", "The frame before", False),
    Key("video", "right,l", "step(1)", "On", "The next frame", False),
    Key("video", "shift+left,b", "step(-10)", "Ten back", "Ten frames back", False),
    Key("video", "shift+right,w", "step(10)", "Ten on", "Ten frames on", False),
    Key("video", "g", "go", "Go", "Go to a frame by its number", False),
    Key("video", "a", "add", "Add", "Add a stage behind the chosen one", False),
    Key("video", "delete,d", "remove", "Remove", "Take the stage out", False),
    Key("video", "minus", "move(-1)", "Earlier", "Let the stage come earlier", False),
    Key("video", "plus,equals_sign", "move(1)", "Later", "Let the stage come later", False),
    Key(
        "video",
        "c",
        "hang",
        "Controls",
        "Controls, references, regions of a stage that renders; @frame is the frame",
        False,
    ),
    Key("video", "t", "settings", "Film", "The film, its size, part, sound and cuts", False),
    Key("video", "u", "undo", "Undo", "Take the last change back", False),
    Key("video", "s", "save", "Save", "Write the file of stages; its comments stay", False),
    Key("video", "p", "pause", "Pause", "Pause with the frames kept, or go on", False),
    Key("video", "x", "stop", "Stop", "Stop, also a frame that is made to be looked at; what is there is kept", False),
    Key("video", "v", "view", "View", "The list or the picture, where there is room for one", False),
    Key("video", "j", "cursor_down", "Down", "Next stage", False),
    Key("video", "k", "cursor_up", "Up", "Former stage", False),
    Key("video", "escape,q", "close", "Close", "Leave the field, then back; a video goes on", False),
    Key(
        "moving clip",
        "f5,ctrl+r",
        "make",
        "Make",
        "Make the clip; what is there of the same settings is not made again",
        False,
        True,
    ),
    Key("moving clip", "enter", "edit", "Value", "The form of all settings, at the chosen one", False),
    Key("moving clip", "t", "settings", "Settings", "The same form", False),
    Key("moving clip", "c", "hang", "Controls", "Controls, references, regions; @frame is the video's frame", False),
    Key("moving clip", "s", "save", "Save", "Write the clip's YAML file", False),
    Key("moving clip", "n", "anew", "Anew", "Begin a new clip with the draft", False),
    Key("moving clip", "left,h", "step(-1)", "Back", "The frame before", False),
    Key("moving clip", "right,l", "step(1)", "On", "The next frame", False),
    Key("moving clip", "g", "go", "Go", "Go to a frame by its number", False),
    Key("moving clip", "space", "play", "Play", "Play the frames over and over, or stop", False),
    Key("moving clip", "f", "strip", "Strip", "The frames beside each other again", False),
    Key("moving clip", "p", "pause", "Pause", "Stop with what was made kept, or go on", False),
    Key("moving clip", "x", "stop", "Cancel", "Cancel it; what was made is kept", False),
    Key("moving clip", "v", "view", "View", "The list or the picture, where there is room for one", False),
    Key("moving clip", "j", "cursor_down", "Down", "Next setting", False),
    Key("moving clip", "k", "cursor_up", "Up", "Former setting", False),
    Key("moving clip", "escape,q", "close", "Close", "Leave the field, then back; a clip goes on", False),
    Key("stage kinds", "j", "cursor_down", "Down", "Next kind of stage", False),
    Key("stage kinds", "k", "cursor_up", "Up", "Former kind of stage", False),
    Key("stage kinds", "escape,q", "close", "Close", "Back without one", False),
    Key("captions", "f,slash", "find", "Find", "Find and replace, put before or behind, remove a tag", False),
    Key("captions", "t", "tags", "Tags", "The tags with their counts; Enter shows the pictures with one", False),
    Key("captions", "x,delete", "remove_tag", "Remove", "Remove the chosen tag from all captions", False),
    Key("captions", "a", "automatic", "By a model", "Caption pictures that have none by a local BLIP or tagger", False),
    Key("captions", "u", "undo", "Undo", "Take the last edit back", False),
    Key("captions", "j", "cursor_down", "Down", "Next picture or tag", False),
    Key("captions", "k", "cursor_up", "Up", "Former picture or tag", False),
    Key("captions", "escape,q", "close", "Close", "Back; what was typed is written", False),
    Key("caption text", "enter,ctrl+s", "save", "Write", "Write the caption and go to the next picture", False, True),
    Key("caption text", "escape", "leave", "Leave", "Back to the list", False, True),
    Key("mask", "up,k", "step(0, -1)", "Up", "Move the brush", False),
    Key("mask", "down,j", "step(0, 1)", "Down", "Move the brush", False),
    Key("mask", "left,h", "step(-1, 0)", "Left", "Move the brush", False),
    Key("mask", "right,l", "step(1, 0)", "Right", "Move the brush", False),
    Key("mask", "space", "paint", "Paint", "Paint where the brush stands; the mouse paints as well", False),
    Key("mask", "e", "erase", "Erase", "Erase instead, or paint again", False),
    Key("mask", "plus,equals_sign", "brush(1)", "Larger", "A larger brush", False),
    Key("mask", "minus", "brush(-1)", "Smaller", "A smaller brush", False),
    Key("mask", "i", "invert", "Invert", "Change what is not painted", False),
    Key("mask", "u,ctrl+z", "undo", "Undo", "Take the last stroke back", False),
    Key("mask screen", "enter", "save", "Save", "Write the mask and use it", False, True),
    Key("mask screen", "escape,q", "close", "Close", "Back without a mask", False),
    Key("gallery", "enter", "reuse", "Reuse", "Take the settings of the picture chosen in the gallery", False),
    Key("gallery", "plus,equals_sign", "rate(1)", "Better", "Rate the picture a star higher", False),
    Key("gallery", "minus", "rate(-1)", "Worse", "Rate the picture a star lower", False),
    Key("gallery", "slash", "search", "Search", "Search by prompt, model:x, seed:5, rating:>=3", False),
    Key("gallery", "j,down", "cursor_down", "Down", "Next picture", False),
    Key("gallery", "k,up", "cursor_up", "Up", "Former picture", False),
    Key("picture", "m", "more_like_this", "More like it", "Four variations of the picture", False),
    Key("picture", "l", "lock_seed", "Lock seed", "Render with its seed from now on, or no longer", False),
    Key("picture", "i", "send('img2img')", "img2img", "Make the picture over", False),
    Key("picture", "p", "send('inpaint')", "Inpaint", "Change a part of the picture", False),
    Key("picture", "c", "compare", "Compare", "Mark it; on a second picture: compare both", False),
    Key("picture", "r", "restore", "Texts", "Bring back its idea, its expansion or its prompt", False),
    Key("picture", "o", "open_picture", "Open", "Open the picture in the system's viewer", False),
    Key("result", "n", "next_picture", "Next", "Of several made together: the next, then all again", False),
    Key("slider", "right,l", "move(1)", "More", "Move a slider up", False),
    Key("slider", "left,h", "move(-1)", "Less", "Move a slider down", False),
    Key("versions", "escape,q", "close", "Close", "Back to the room", False),
    Key("versions", "j", "cursor_down", "Down", "Next version", False),
    Key("versions", "k", "cursor_up", "Up", "Former version", False),
    Key("jobs", "delete,x", "stop", "Cancel", "Cancel the chosen job"),
    Key("jobs", "r", "again", "Run again", "Run the chosen job once more"),
    Key("jobs", "p", "pause", "Pause", "Begin no more jobs, or go on"),
    Key("jobs", "plus,equals_sign", "move(-1)", "Earlier", "Let the chosen job come earlier", False),
    Key("jobs", "minus", "move(1)", "Later", "Let the chosen job come later", False),
    Key("jobs", "j,down", "cursor_down", "Down", "Next job", False),
    Key("jobs", "k,up", "cursor_up", "Up", "Former job", False),
)


def bindings(where: str) -> list[Binding]:
    """The Textual bindings of one place."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, priority=key.priority)
        for key in KEYS
        if key.where == where
    ]
