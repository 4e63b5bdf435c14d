"""What an animation leaves behind beside its video: a note that answers questions, one picture in the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assistant.gallery import GalleryIndex
from assistant.jobs.animation import animate
from assistant.jobs.videos import vid2vid
from assistant.memory import remember_animation, remember_video, told_measures
from generation.animation import video
from generation.animation.settings import of
from generation.animation.stages.reading import parse, with_model
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


STAGES = """\
stages:
  - {do: stabilise, on: false}
  - {do: carry}
  - id: painted
    do: img2img
    prompt: "an ink\n drawing"
    cfg: 3
    with: {strength: 0.4}
    controls: [{preprocessor: canny}]
  - {do: deflicker, with: {radius: 3}}
"""


def test_a_note_says_which_stages_a_video_had(tmp_path: Path) -> None:
    pipeline = with_model(parse(STAGES), "demo").to_json() | {"input": "/v/run.mp4"}
    result = {**RESULT, "path": "/v/inked.mp4", "seeds": {"painted": 7}, "source_measures": {**MEASURES, "motion": 2}}
    note = remember_video(tmp_path, pipeline, result)
    text = note.read_text("utf-8")
    assert note == tmp_path / "videos" / "inked.md" and "over from /v/run.mp4: 40 frames of 64x48 pixels" in text
    assert "The stages of the video “inked” are carry, img2img, deflicker." in text
    assert (
        "The stage img2img, called “painted”, of “inked” ran with the prompt “an ink drawing”, the model demo" in text
    )
    assert "the model demo, seed 7, strength 0.4" in text and "cfg 3" in text and "controls by canny" in text
    assert "The stage deflicker of “inked” ran with radius 3, weight 0.8" in text
    assert "Switched off in the video “inked” were the stages stabilise." in text
    assert f"{told_measures(MEASURES)}; of what was filmed: " in text and "motion 2.00 %" in text
    assert "![inked](/v/apple.sheet.png)" in text
    plain = remember_video(tmp_path, pipeline, {**result, "measures": {}, "source_measures": {}})
    assert plain.name == "inked-2.md" and "Measured" not in plain.read_text("utf-8")


def test_a_video_is_noted_once_and_the_library_knows_its_stages(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    picture = np.random.default_rng(3).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    video.write((np.roll(picture, n, 1) for n in range(3)), tmp_path / "run.mp4", 10)
    (tmp_path / "inked.yaml").write_text("stages:\n- {do: stabilise}\n- {do: unstabilise}\n- {do: deflicker}\n")
    spec = {"file": str(tmp_path / "inked.yaml"), "video": str(tmp_path / "run.mp4"), "measure": False}

    def run(**more: Any) -> dict[str, Any]:
        return vid2vid(shop, {**spec, **more}, report=lambda event: None, check=lambda: None)

    assert "note" not in run(preview=0) and "note" in run()
    assert "note" not in run(), "nothing was made"
    answer = do("ask", shop, question="Which stages did the inked video have?")
    assert "stabilise, unstabilise, deflicker" in answer["answer"]
    shop.settings["studio.remember"] = False
    assert "note" not in run(fresh=True)
    shop.library.close()


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
