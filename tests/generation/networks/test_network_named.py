"""Networks named in a prompt: A1111's arguments, which file a name means, and what is told where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from network_models import entry, saved

from generation.catalogue import PICKLE, ModelEntry
from generation.errors import BadSpec, UnknownModel
from generation.networks.named import hypernetworks, resolve
from generation.prompts.grammar import parse
from generation.specs import ModelDefaults


def files(*paths: str, family: str = "sd15", kind: str = "lora", problem: str = "") -> list[ModelEntry]:
    return [ModelEntry(Path(p).stem, p, kind, family, 1, ModelDefaults(), problem) for p in paths]


ENTRIES = files("/m/Lora/Foo.safetensors", "/m/Lora/style/bar v2.safetensors", "/m/Lora/naïve.pt")


@pytest.mark.parametrize(
    ("text", "unet", "words", "rank"),
    [
        ("<lora:Foo>", 1.0, 1.0, None),
        ("<lora:Foo:0.8>", 0.8, 0.8, None),
        ("<lora:Foo:0.5:0.9>", 0.9, 0.5, None),
        ("<lora:Foo:0.5:0.9:4>", 0.9, 0.5, 4),
        ("<lora:Foo:te=0.3>", 0.3, 0.3, None),
        ("<lora:Foo:te=0.3:unet=0.7>", 0.7, 0.3, None),
        ("<lora:Foo:unet=0.7>", 0.7, 1.0, None),
        ("<lora:Foo:0.5:unet=0.7:dyn=8>", 0.7, 0.5, 8),
        ("<lora:Foo:0.5:0.9:te=0>", 0.9, 0.0, None),
        ("<lora:Foo:-1>", -1.0, -1.0, None),
        ("<lora:Foo:0>", 0.0, 0.0, None),
        ("<lora:Foo:.5>", 0.5, 0.5, None),
        ("<lyco:Foo:0.4>", 0.4, 0.4, None),
    ],
)
def test_arguments_are_those_of_a1111(text: str, unet: float, words: float, rank: int | None) -> None:
    (use,) = resolve(parse(f"a cat {text}, dog").networks, ENTRIES)
    assert (use.entry, use.unet, use.text, use.rank) == (ENTRIES[0], unet, words, rank)


@pytest.mark.parametrize(
    "text", ["<lora:Foo:x>", "<lora:Foo:>", "<lora:Foo:nan>", "<lora:Foo:1:inf>", "<lora:Foo:te=>"]
)
def test_a_strength_that_is_no_number_is_told(text: str) -> None:
    with pytest.raises(BadSpec, match="is no number") as caught:
        resolve(parse(text).networks, ENTRIES)
    assert text in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["<lora:Foo:1:1:0>", "<lora:Foo:dyn=x>", "<lora:Foo:dyn=-2>", "<lora:Foo:dyn=1.5>"])
def test_a_rank_that_is_none_is_told(text: str) -> None:
    with pytest.raises(BadSpec, match="is no rank"):
        resolve(parse(text).networks, ENTRIES)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("foo", 0), ("FOO", 0), ("Foo.safetensors", 0), ("Lora/foo", 0), ("bar v2", 1), ("style/BAR V2", 1),
        ("style\\bar v2", 1), ("Lora/style/bar v2", 1), ("/m/Lora/style/bar v2.safetensors", 1), ("naïve", 2),
        ("nai\u0308ve", 2), (" Foo ", 0),
    ],
)  # fmt: skip
def test_a_name_finds_its_file(name: str, place: int) -> None:
    (use,) = resolve(parse(f"<lora:{name}:1>").networks, ENTRIES)
    assert use.entry is ENTRIES[place]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownModel, match='no LoRA "Fooo"') as caught:
        resolve(parse("<lora:Fooo:1>").networks, ENTRIES)
    assert caught.value.hint == 'Did you mean "Foo"?'
    for name in ("other/foo", "yle/bar v2", "bar"):
        with pytest.raises(UnknownModel):
            resolve(parse(f"<lora:{name}:1>").networks, ENTRIES)
    with pytest.raises(UnknownModel) as caught:
        resolve(parse("<lora:Foo:1>").networks, [])
    assert "studio.models" in caught.value.hint
    # A checkpoint of that name is no LoRA.
    with pytest.raises(UnknownModel):
        resolve(parse("<lora:Foo:1>").networks, files("/m/Foo.safetensors", kind="checkpoint"))


def test_order_and_repetition_are_kept() -> None:
    uses = resolve(parse("<lora:bar v2:0.5> a <hypernet:h:1> <lora:foo:1> <lyco:bar v2:0.2>").networks, ENTRIES)
    assert [(use.entry.name, use.unet) for use in uses] == [("bar v2", 0.5), ("Foo", 1.0), ("bar v2", 0.2)]


def test_of_several_with_one_name_the_models_family_is_taken() -> None:
    xl = files("/m/a/Foo.safetensors", family="sdxl")
    one = files("/m/b/foo.safetensors", family="sd15")
    open_ = files("/m/c/foo.safetensors", family="unknown")
    torn = files("/m/0/foo.safetensors", family="sd15", problem="the file is cut short")
    every = [*torn, *xl, *one, *open_]
    asked = parse("<lora:Foo:1>").networks
    for family, wanted in (("sdxl", xl), ("sd15", one), ("sd15-inpainting", one), ("sd2", open_), ("sdxl-refiner", xl)):
        assert resolve(asked, every, family)[0].entry is wanted[0], family
    assert resolve(asked, [*torn, *xl], "sd15")[0].entry is xl[0]
    pickle = files("/m/b/foo.pt", problem=PICKLE)
    assert resolve(asked, [*torn, *pickle], "sd15")[0].entry is pickle[0]
    # Nothing else between them: written the same, then the one less deep, then by path.
    same = files("/m/z/Foo.safetensors", "/m/a/foo.safetensors", "/m/a/b/Foo.safetensors", "/m/y/Foo.safetensors")
    assert resolve(asked, same, "sd15")[0].entry.path == "/m/y/Foo.safetensors"


def test_the_trainers_own_name_finds_a_file_that_was_renamed(tmp_path: Path) -> None:
    use = saved(tmp_path / "v1-000004.safetensors", {"x": torch.ones(1)}, {"ss_output_name": "My Style"})
    (tmp_path / "torn.safetensors").write_bytes(b"xx")
    entries = [use.entry, entry(tmp_path / "torn.safetensors"), entry(tmp_path / "gone.safetensors"), *ENTRIES]
    assert resolve(parse("<lora:my style:1>").networks, entries)[0].entry is use.entry
    with pytest.raises(UnknownModel) as caught:
        resolve(parse("<lora:my stile:1>").networks, entries)
    assert caught.value.hint == 'Did you mean "My Style"?'
    # A file so named comes first.
    direct = files("/m/my style.safetensors")
    assert resolve(parse("<lora:my style:1>").networks, [*entries, *direct])[0].entry is direct[0]


def test_hypernetworks_are_found_by_kind_or_by_their_folder() -> None:
    kinds = files("/m/h.pt", kind="hypernetwork")
    placed = files("/m/hypernetworks/g.pt", kind="unknown", problem=PICKLE)
    every = [*ENTRIES, *kinds, *placed, *files("/m/other/g.pt", kind="unknown")]
    asked = parse("<hypernet:G:0.5> <lora:foo:1> <hypernet:h>").networks
    assert hypernetworks(asked, every) == [(placed[0], 0.5), (kinds[0], 1.0)]
    with pytest.raises(UnknownModel, match='no hypernetwork "Foo"'):
        hypernetworks(parse("<hypernet:Foo:1>").networks, every)
    with pytest.raises(BadSpec, match="strength in <hypernet:h:x> is no number"):
        hypernetworks(parse("<hypernet:h:x>").networks, every)


@pytest.mark.parametrize("function", [resolve, hypernetworks])
def test_another_kind_of_network_is_told(function: object) -> None:
    assert callable(function)
    with pytest.raises(BadSpec, match='no kind of network "lorra"') as caught:
        function(parse("<lorra:Foo:1>").networks, ENTRIES)
    assert caught.value.hint == 'Did you mean "lora"?'
    with pytest.raises(BadSpec, match="names no file"):
        function(parse("<lora: :1>").networks, ENTRIES)
    assert not function(parse("plain").networks, [])


def test_resolving_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from generation.networks import named\n"
        "print(sorted({'numpy', 'torch', 'PIL', 'safetensors'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
