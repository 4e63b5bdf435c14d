"""What an animation leaves behind beside its video: a note that answers questions, one picture in the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from assistant.gallery import GalleryIndex
from assistant.jobs.animation import animate
from assistant.memory import remember_animation, told_measures
from generation.animation.settings import of
from tests.assistant.assistant_checks import do, workshop

MEASURES = {"warp_error": 7.25, "flow_of": "source", "motion": 1.5, "flicker": 0.25, "consistency": 0.98765,
            "consistency_by": "clip"}  # fmt: skip
RESULT = {
    "path": "/v/apple.mp4", "frames": 40, "size": [64, 48], "fps": 12.5, "seed": 9, "seconds": 83.4,
    "measures": MEASURES, "sheet": "/v/apple.sheet.png",
}  # fmt: skip


def settings(**given: Any) -> dict[str, Any]:
    return of({"prompts": {"0": "a red\n apple"}, "model": "demo", "animation_mode": "2D", **given}).to_json()


def test_a_note_says_what_was_animated(tmp_path: Path) -> None:
    prompts = {"0": "a red\n apple", **{str(n): f"prompt {n}" for n in range(1, 10)}}
    long = ", ".join(f"{n}:({n})" for n in range(60))
    note = remember_animation(tmp_path, settings(prompts=prompts, zoom="0:(1.5)", angle=long), RESULT)
    text = note.read_text("utf-8")
    assert note == tmp_path / "animations" / "apple.md"
    assert "made the 2D animation “apple” of “a red apple” on the model demo: 40 frames of 64x48 pixels" in text
    assert "12.5 a second, seed 9, in 83 seconds." in text
    assert "“prompt 6” from frame 6, 3 more" in text and "prompt 7" not in text
    assert "zoom 0:(1.5);" in text and "angle" not in text, "a schedule longer than a sentence stays in the video"
    assert f"Measured of “apple”: {told_measures(MEASURES)}." in text and "/v/apple.mp4" in text
    assert "![apple](/v/apple.sheet.png)" in text
    again = remember_animation(tmp_path, settings(), {**RESULT, "measures": {}}, "walk")
    assert again.name == "apple-2.md" and "walk between prompts" in again.read_text("utf-8")
    assert "Measured" not in again.read_text("utf-8") and "Later prompts" not in again.read_text("utf-8")


def test_measures_in_one_line() -> None:
    assert told_measures(MEASURES) == (
        "warp error 7.2 (flow of the source), motion 1.50 % of the diagonal a frame, flicker 0.25, consistency 0.9877 "
        "(CLIP)"
    )
    assert told_measures({**MEASURES, "consistency_by": "thumbnails"}).endswith("(thumbnails, no CLIP given)")


def test_an_animation_is_noted_once_and_is_one_picture_of_the_gallery(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    spec = {
        "settings": {"prompts": {"0": "a red apple on a white background"}, "max_frames": 3, "steps": 1, "seed": 4,
                     "animation_mode": "2D", "diffusion_cadence": 2},
        "name": "apple",
        "measure": False,
    }  # fmt: skip

    def run(**more: Any) -> dict[str, Any]:
        return animate(shop, {**spec, **more}, report=lambda event: None, check=lambda: None)

    made = run()
    assert Path(made["note"]).is_file() and "seed 4" in Path(made["note"]).read_text("utf-8")
    assert run()["made"] == 0 and list(Path(made["note"]).parent.iterdir()) == [Path(made["note"])]
    index = GalleryIndex(tmp_path / "gallery.sqlite3", [shop.output_folder()])
    index.refresh()
    (shot,) = index.find("apple")
    assert shot.path == made["sheet"] and shot.prompt == "a red apple on a white background" and shot.seed == 4
    answer = do("ask", shop, question="Which seed had the animation of the apple?")
    assert "seed 4" in answer["answer"]
    shop.settings["studio.remember"] = False
    assert "note" not in run(fresh=True)
    shop.library.close()


def test_frames_and_strips_are_not_listed_one_by_one(tmp_path: Path) -> None:
    for name in ("a.frames/000000.png", "a.frames/denoised/000000.png", "a.strip.png", "a.sheet.png", "frames/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    index = GalleryIndex(tmp_path / "gallery.sqlite3", [tmp_path])
    assert index.refresh() == 2
    assert {Path(shot.path).name for shot in index.find()} == {"a.sheet.png", "b.png"}
