"""Depth by a local folder: the real architectures of depth models, small and random, and which way round they count.

Which way a model counts cannot be seen in random weights, so what comes out is held beside the model's own numbers: a
model of disparity gives its largest where it is nearest, one of distances its smallest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
)

from generation.animation import deforum, motion
from generation.animation.settings import of
from generation.animation.timelines import Timeline
from generation.catalogue import Catalogue
from generation.engine import Engine
from generation.preprocessors import local_models

SIDE = 64


def depth_anything(**changes: Any) -> tuple[Any, Any]:
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2"], reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, reassemble_factors=[2, 1], neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8, head_hidden_size=4, **changes,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(config), DPTImageProcessorPil(
        size={"height": 56, "width": 56}, ensure_multiple_of=14
    )


def dpt() -> tuple[Any, Any]:
    """MiDaS 3's."""
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
    )  # fmt: skip
    return DPTForDepthEstimation(config), DPTImageProcessorPil(size={"height": 64, "width": 64})


def glpn() -> tuple[Any, Any]:
    config = GLPNConfig(
        num_encoder_blocks=4, depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    )  # fmt: skip
    return GLPNForDepthEstimation(config), GLPNImageProcessorPil(size_divisor=32)


# How to make one -> 1 where its numbers grow with nearness, -1 where they are distances.
MODELS: dict[str, tuple[Any, int]] = {
    "depth_anything": (depth_anything, 1),
    "depth_anything_metric": (lambda: depth_anything(depth_estimation_type="metric", max_depth=20), -1),
    "dpt": (dpt, 1),
    "glpn": (glpn, -1),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any, int]:
    """(folder, the model, what brings pixels into its form, which way round it counts)."""
    torch.manual_seed(5)
    maker, way = MODELS[request.param]
    net, reader = maker()
    for name, parameter in net.named_parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # fresh ones answer with almost nothing
        if name == "head.conv3.bias":
            parameter.data += 2  # what is below nothing is cut off by this one's last step
    folder = tmp_path_factory.mktemp(request.param)
    net.save_pretrained(folder)
    reader.save_pretrained(folder)
    return folder, net.eval(), reader, way


def picture() -> Image.Image:
    small = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def own(net: Any, reader: Any) -> Any:
    """[h, w]: the model's own numbers of the picture, brought to its size."""
    with torch.no_grad():
        found = net(**reader(picture(), return_tensors="pt")).predicted_depth
    large = torch.nn.functional.interpolate(found[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
    return large[0, 0].numpy()


def agree(one: Any, other: Any) -> float:
    """How far two maps put places in the same order, -1 to 1."""
    inner = (slice(4, -4), slice(4, -4))
    return float(spearmanr(one[inner].ravel(), other[inner].ravel())[0])


def test_what_is_near_is_white(model: tuple[Path, Any, Any, int]) -> None:
    folder, net, reader, way = model
    numbers = own(net, reader)
    assert numbers.std() > 0
    near = np.asarray(local_models.depth(picture(), weights=str(folder)).convert("L"), dtype=float)
    assert near.shape == (SIDE, SIDE) and (near.min(), near.max()) == (0, 255)
    assert way * agree(near, numbers) > 0.9


def test_an_animation_has_what_is_near_at_a_small_distance(model: tuple[Path, Any, Any, int]) -> None:
    folder, net, reader, way = model
    told = of({"animation_mode": "3D", "depth_model": str(folder), "prompts": {"0": "x"}, "max_frames": 4})
    moving = motion.Motion(Timeline(told, 5))
    distance = moving.depth(np.asarray(picture(), dtype=np.float32) / 255)
    assert distance.shape == (SIDE, SIDE)
    assert motion.NEAREST <= distance.min() < distance.max() <= motion.FARTHEST
    assert -way * agree(distance, own(net, reader)) > 0.9


def test_frames_are_made_by_depth(model: tuple[Path, Any, Any, int], tmp_path: Path, tiny_checkpoint: Path) -> None:
    """The whole way on a real checkpoint: other frames than a plane's, and the same again."""
    folder = model[0]
    engine = Engine(Catalogue([tiny_checkpoint.parent]), device="cpu")
    told = {
        "model": "tiny", "prompts": {"0": "a red apple"}, "animation_mode": "3D", "depth_model": str(folder), "W": 32,
        "H": 32, "steps": 2, "max_frames": 3, "translation_x": "0:(20)", "translation_z": "0:(10)", "seed": 3,
        "sampler": "DDIM", "diffusion_cadence": 1,
    }  # fmt: skip
    made = []
    for name, changes in (("one", {}), ("again", {}), ("plane", {"use_depth_warping": False})):
        deforum.run(of({**told, **changes}), tmp_path / name, engine, seed=3)
        made.append([path.read_bytes() for path in sorted((tmp_path / name).glob("[0-9]*.png"))])
    engine.unload()
    assert len(made[0]) == 3 and made[0] == made[1]
    assert made[0][0] == made[2][0] and made[0][1:] != made[2][1:]
