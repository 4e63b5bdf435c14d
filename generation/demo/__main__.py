"""`python -m generation.demo`: make the demo checkpoint again, measure it, draw its sheet.

    python -m generation.demo rasterise --icons node_modules --work work
    python -m generation.demo train --icons node_modules --work work [--hours 2] [--device cuda]
    python -m generation.demo export --work work
    python -m generation.demo evaluate
    python -m generation.demo controlnet --icons node_modules --work work [--control-steps 2000]
    python -m generation.demo motion --icons node_modules --work work [--motion-steps 600]
    python -m generation.demo proof --work work [--proof-steps 800]
    python -m generation.demo sheet --output docs/images/demo-sheet.png

`train` may be killed and started again: each stage goes on from its last save.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from generation.catalogue import BUNDLED
from generation.errors import GenerationError

STEPS = ("tokenizer", "rasterise", "train", "export", "classifier", "evaluate", "controlnet", "motion", "proof",
         "sheet")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one step; 2 for what the person can mend."""
    parser = argparse.ArgumentParser(prog="python -m generation.demo")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--icons", type=Path, default=Path("node_modules"), help="folder of npm packages")
    parser.add_argument("--bpe", type=Path, help="bpe_simple_vocab_16e6.txt.gz, for the tokenizer")
    parser.add_argument("--work", type=Path, default=Path("work/demo"), help="training folder")
    parser.add_argument("--target", type=Path, default=BUNDLED, help="the checkpoint")
    parser.add_argument("--hours", type=float, default=2.0, help="time for the whole training")
    parser.add_argument("--steps", type=int, default=20000, help="most steps of the UNet")
    parser.add_argument("--control-steps", type=int, default=2200, help="steps of the ControlNet; 0: measure it alone")
    parser.add_argument("--motion-steps", type=int, default=600, help="steps of the motion module; 0: measure it alone")
    parser.add_argument("--clips", type=int, default=3000, help="clips that it learns from")
    parser.add_argument("--proof-steps", type=int, default=800, help="steps of the longest training of the proof")
    parser.add_argument("--scenes", type=int, default=28000)
    parser.add_argument("--count", type=int, default=200, help="prompts of the evaluation")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("docs/images/demo-sheet.png"))
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except GenerationError as error:
        print(f"{error.message}. {error.hint}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.step == "proof":
        from generation.demo import proof

        options.work.mkdir(parents=True, exist_ok=True)
        proof.run(options.work, steps=options.proof_steps)
    elif options.step == "tokenizer":
        from generation.demo.tokenizer import write_tokenizer

        if options.bpe is None:
            raise GenerationError("--bpe is missing", "The package open-clip-torch carries the file.")
        write_tokenizer(options.bpe, options.target / "tokenizer")
    elif options.step == "rasterise":
        _rasterise(options)
    elif options.step == "train":
        from generation.demo import text, train_unet, train_vae

        work, seconds = options.work, options.hours * 3600
        if not (work / "data" / "pictures.npy").exists():
            _rasterise(options)
        if not (work / "vae" / "config.json").exists():
            train_vae.run(work / "data", work, steps=12000, deadline=seconds * 0.15, device=options.device)
        tokenizer = options.target / "tokenizer"
        if not (work / "text_encoder" / "config.json").exists():
            text.pretrain(tokenizer, work, steps=1000, device=options.device)
        train_unet.run(
            work / "data",
            work,
            tokenizer,
            steps=options.steps,
            deadline=seconds * 0.8,
            device=options.device,
        )
        train_vae.sharpen(work / "data", work, steps=12000, deadline=seconds * 0.05, device=options.device)
    elif options.step == "export":
        from generation.demo.export import export

        print(f"{export(options.work, options.target):,} bytes in {options.target}")
    elif options.step == "classifier":
        from generation.demo.classifier import fit

        print(f"held-out accuracy {fit(options.work / 'data', device=options.device):.4f}")
    elif options.step == "evaluate":
        from generation.demo.evaluate import evaluate

        print(json.dumps(evaluate(options.target, count=options.count, device=options.device), indent=1))
    elif options.step == "motion":
        _motion(options)
    elif options.step == "controlnet":
        _controlnet(options)
    else:
        from generation.demo.sheet import sheet

        sheet(options.target, options.output, options.device)


def _controlnet(options: argparse.Namespace) -> None:
    """Train the ControlNet on edges, lay down the held-out conditions, measure."""
    from generation.controls.nets import DEMO
    from generation.demo import control
    from generation.training import controlnet

    if options.control_steps:
        if not (options.work / "data" / "pictures.npy").exists():
            _rasterise(options)
        from generation.demo.art import load_art

        folder = options.work / "controlnet"
        trained = control.train(options.target, options.work / "data", folder, options.control_steps, options.device)
        print(f"{controlnet.write(trained, DEMO):,} bytes in {DEMO}")
        control.draw_held_out(load_art(options.icons), DEMO)
    print(json.dumps(control.measure(DEMO, device=options.device), indent=1))


def _motion(options: argparse.Namespace) -> None:
    """Train the motion module on clips of the icons, measure where its subjects go."""
    from generation.animation.motion_models.finding import DEMO
    from generation.demo import moving

    if options.motion_steps:
        from generation.demo.art import load_art

        paths = moving.train(
            options.target, load_art(options.icons), options.work / "motion", DEMO, steps=options.motion_steps,
            count=options.clips,
        )  # fmt: skip
        print(f"{sum(path.stat().st_size for path in paths):,} bytes in {DEMO.parent}")
    print(json.dumps(moving.measure(DEMO), indent=1))


def _rasterise(options: argparse.Namespace) -> None:
    try:
        from generation.demo.art import load_art
    except ModuleNotFoundError as error:
        raise GenerationError(f"the package {error.name} is missing", "Run: pip install 'atelier[demo]'.") from error
    from generation.demo import dataset

    dataset.make(load_art(options.icons), options.work / "data", options.scenes)


if __name__ == "__main__":
    raise SystemExit(main())
