"""The video models of diffusers that are run out of a local folder, by the class that its model_index.json names.

A table: what each makes of a prompt, a picture or a video, and the figures it was trained with. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VideoModel:
    """`kind` is "svd", "ltx" or "wan", `name` for people; `text`, `image` and `video` are diffusers' pipelines for
    a prompt alone, for a picture, for a video ("" where the model cannot).

    `frames` and `fps` as the model was trained; `steps`, `cfg` and `size` (width, height) as its authors give them.
    Sides are multiples of `side`, the frames one more than a multiple of `span` (1: any number).
    """

    kind: str
    name: str
    frames: int
    fps: float
    steps: int
    cfg: float
    size: tuple[int, int]
    side: int
    span: int
    text: str = ""
    image: str = ""
    video: str = ""


# Figures: model cards of stable-video-diffusion-img2vid, LTX-Video and Wan2.1, and diffusers' own defaults.
_SVD = VideoModel(
    "svd", "Stable Video Diffusion", 14, 7.0, 25, 3.0, (1024, 576), 64, 1, image="StableVideoDiffusionPipeline"
)
_LTX = VideoModel(
    "ltx", "LTX-Video", 161, 24.0, 50, 3.0, (704, 480), 32, 8, text="LTXPipeline", image="LTXImageToVideoPipeline"
)
_WAN = VideoModel(
    "wan", "Wan", 81, 16.0, 50, 5.0, (832, 480), 16, 4, text="WanPipeline", video="WanVideoToVideoPipeline"
)
_WAN_IMAGE = VideoModel(
    "wan", "Wan (from pictures)", 81, 16.0, 50, 5.0, (832, 480), 16, 4, image="WanImageToVideoPipeline"
)
VIDEO_MODELS: dict[str, VideoModel] = {
    "StableVideoDiffusionPipeline": _SVD,
    "LTXPipeline": _LTX,
    "LTXImageToVideoPipeline": _LTX,
    "WanPipeline": _WAN,
    "WanVideoToVideoPipeline": _WAN,
    "WanImageToVideoPipeline": _WAN_IMAGE,
}
