"""The UNet: v-prediction on cached latents, conditioned on captions in many wordings.

The noise schedule ends at 1.5 % signal amplitude instead of Stable Diffusion's 6.8 %: at 16x16 latents the mean colour
would otherwise leak through the last timestep's noise, and pictures begun from pure noise would turn grey.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from torch import nn
from transformers import CLIPTextModel

from generation.demo import dataset, scenes
from generation.demo.loop import Average, train
from generation.demo.text import WIDTH, Conditions, Tokens, Words, pad, scatter, spread, tokens
from generation.demo.train_vae import to_pictures, to_tensor

SCHEDULE = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "clip_sample": False, "steps_offset": 1, "timestep_spacing": "trailing",
}  # fmt: skip
BATCH = 32
GAMMA = 5.0
LONG = 0.15  # share of batches whose captions take two chunks


def build() -> UNet2DConditionModel:
    """10.9 million weights; attention at 8x8 and 4x4, where two cores can afford it."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def cache_latents(vae: AutoencoderKL, data: Path, folder: Path, device: str) -> np.ndarray:
    """Scaled latents [n, 4, 16, 16] float16 of all pictures, kept in folder/latents.npy."""
    path = folder / "latents.npy"
    pictures, _ = dataset.load(data)
    if path.exists():
        return np.load(path, mmap_mode="r")
    parts = []
    with torch.no_grad():
        for n in range(0, len(pictures), 64):
            latents = vae.encode(to_tensor(pictures[n : n + 64]).to(device)).latent_dist.mode()
            parts.append((latents * vae.config.scaling_factor).half().cpu().numpy())
    temporary = folder / "latents.tmp.npy"
    np.save(temporary, np.concatenate(parts))
    temporary.replace(path)
    return np.load(path, mmap_mode="r")


def run(data: Path, folder: Path, tokenizer: Path, *, steps: int, deadline: float | None, device: str) -> None:
    """Train on folder/vae and folder/text_encoder; saves folder/unet."""
    _, rows = dataset.load(data)
    vae = AutoencoderKL.from_pretrained(folder / "vae").to(device).eval()
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").to(device).eval()
    encoder.requires_grad_(False)
    latents = cache_latents(vae, data, folder, device)
    words = Words(tokenizer)
    conditions = Conditions(encoder, device)
    schedule = DDPMScheduler(**SCHEDULE)
    signal = schedule.alphas_cumprod.to(device)
    unet = build().to(device, memory_format=torch.channels_last)

    def describe(number: int, rng: Random, long: bool) -> tuple[Tokens, float]:
        scene, main, weight = rows[number]
        if rng.random() < 0.1:
            return tokens([], words, 2 if long else 1), 1.0
        clauses = scenes.caption(scene, main, rng)
        while weight != 1 and not any(word.role == "colour" for c in clauses for word in c):
            clauses = scenes.caption(scene, main, rng)
        if long:
            clauses = spread(clauses, rng, words) if rng.random() < 0.8 else clauses + pad(rng, words, 60)
        elif rng.random() < 0.4:
            clauses = scatter(clauses, rng, words)
        return tokens(clauses, words, 2 if long else 1), weight

    def step(number: int) -> torch.Tensor:
        rng = Random(number)
        choice = [rng.randrange(len(rows)) for _ in range(BATCH)]
        long = rng.random() < LONG
        said = [describe(n, rng, long) for n in choice]
        with torch.no_grad():
            text = conditions([t for t, _ in said], [w for _, w in said])
        clean = torch.from_numpy(np.stack([latents[n] for n in choice])).float().to(device)
        noise = torch.randn_like(clean)
        # The noisy half decides colour and place: draw it a little more often.
        times = (torch.rand(BATCH, device=device).pow(0.8) * 1000).long().clamp(0, 999)
        a = signal[times][:, None, None, None]
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        wanted = a.sqrt() * noise - (1 - a).sqrt() * clean
        made = unet(noisy.contiguous(memory_format=torch.channels_last), times, encoder_hidden_states=text).sample
        ratio = signal[times] / (1 - signal[times])
        weight = ratio.clamp(max=GAMMA) / (ratio + 1)
        # Min-SNR for v falls to nothing at the noisy end, where the background's colour is decided: hold a floor.
        each = (made - wanted).pow(2).mean((1, 2, 3))
        return (each * weight.clamp(min=0.25)).mean()

    def sample(number: int, average: Average) -> None:
        sheet = contact(average.modules[0], vae, conditions, words, device)
        Image.fromarray(sheet).save(folder / f"sample-{number:05d}.png")

    average = train("unet", [unet], step, steps=steps, rate=1e-3, folder=folder, deadline=deadline,
                    sample=sample, sample_every=500)  # fmt: skip
    average.modules[0].save_pretrained(folder / "unet")


def held_out_scenes(count: int, seed: int = 7) -> list[scenes.Scene]:
    """Scenes whose combination was never drawn for training; plain backgrounds, natural hues."""
    rng = Random(seed)
    found: list[scenes.Scene] = []
    while len(found) < count:
        scene = scenes.draw_scene(rng)
        if scene.held_out and not scene.hue and scene.colour2 is None:
            found.append(scene)
    return found


@torch.no_grad()
def contact(unet: nn.Module, vae: AutoencoderKL, conditions: Conditions, words: Words, device: str) -> np.ndarray:
    """24 held-out scenes, 16 Euler steps, CFG 4: a sheet [4*64*2, 6*64*2, 3] to look at."""
    rng = Random(3)
    chosen = held_out_scenes(24)
    said = [tokens(scenes.caption(s, "red", rng, full=True), words, 1) for s in chosen]
    text = conditions(said, [1.0] * 24)
    empty = conditions.empty().expand(24, -1, -1)
    scheduler = EulerDiscreteScheduler(**{k: v for k, v in SCHEDULE.items() if k != "clip_sample"})
    scheduler.set_timesteps(16)
    x = torch.randn(24, 4, 16, 16, generator=torch.Generator().manual_seed(0)).to(device)
    x = x * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        made = unet(torch.cat([scaled] * 2), t, encoder_hidden_states=torch.cat([empty, text])).sample
        away, towards = made.chunk(2)
        x = scheduler.step(away + 4.0 * (towards - away), t, x).prev_sample
    pictures = to_pictures(vae.decode(x / vae.config.scaling_factor).sample)
    grid = np.concatenate([np.concatenate(list(pictures[r * 6 : r * 6 + 6]), 1) for r in range(4)], 0)
    return grid.repeat(2, 0).repeat(2, 1)
