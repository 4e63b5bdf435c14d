"""Expanders of prompts in numbers, and the lists of ideas they are tried on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assistant.errors import BadArgument
from assistant.prompt_evaluation import Idea, Thing, evaluate, keeps, load, repetitions
from generation.prompts.tokens import ClipTokenizer

ROOT = Path(__file__).parent.parent.parent
ROW = {
    "tag": "color_attr",
    "include": [{"class": "wine glass", "count": 1, "color": "purple"}, {"class": "bus", "count": 3}],
    "prompt": "a purple wine glass and three buses",
}


def shared(name: str) -> Path:
    path = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared")) / "data" / "prompts" / name
    if not path.is_file():
        pytest.skip(f"{name} is not here (ATELIER_SHARED)")
    return path


def scored(result: str, *ideas: Idea | str, budget: int = 1) -> dict[str, float | int | None]:
    return evaluate(lambda idea, seed: result.format(idea=idea, seed=seed), ideas, ClipTokenizer.load(), budget)


def test_the_three_kinds_of_lists(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW) + '\n\n{"prompt": "plain"}\n')
    assert load(tmp_path / "a.jsonl") == [
        Idea(str(ROW["prompt"]), (Thing("wine glass", 1, "purple"), Thing("bus", 3))), Idea("plain"),
    ]  # fmt: skip
    (tmp_path / "b.tsv").write_text('Prompt\tNote\r\na sign "A\tx\r\nbond\t"y\r\n')
    assert load(tmp_path / "b.tsv") == [Idea('a sign "A'), Idea("bond")]
    (tmp_path / "c.txt").write_text("\ufeffone\n\n two \n", "utf-8")
    assert load(tmp_path / "c.txt") == [Idea("one"), Idea("two")]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": \n', "line 2: "),
        ("a.jsonl", b'{"prompt": "x"}\n{"include": []}', "line 2: 'prompt' is missing"),
        ("a.jsonl", b'{"prompt": "x", "include": [{"count": 2}]}', "line 1: 'class' is missing"),
        ("a.jsonl", b"[1]", "line 1: "),
        ("a.tsv", b"Text\nx\n", "line 1: there is no column Prompt"),
        ("a.tsv", b"Prompt\tNote\nx\ty\nz\n", "line 3: 1 cells for 2 columns"),
        ("a.txt", b"one\n\xff\n", "line 2: this is not UTF-8"),
        ("a.txt", b"\n", "holds no ideas"),
    ],
)
def test_a_broken_list_names_the_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadArgument) as caught:
        load(tmp_path / name)
    assert says in caught.value.message and "\n" not in caught.value.message
    with pytest.raises(BadArgument, match="there is no file"):
        load(tmp_path / "none.txt")


def test_an_expander_that_keeps_to_the_idea() -> None:
    idea = Idea(str(ROW["prompt"]), (Thing("wine glass", 1, "purple"), Thing("bus", 3)))
    found = scored("{idea}, soft light, film grain", idea, "a (red:1.2) cat <lora:x:1>")
    assert found.pop("ms") is not None
    assert found == {
        "ideas": 2, "kept_words": 1.0, "repeated_phrases": 0, "budget_kept": 1.0, "distinct_2": 0.7692,
        "objects_kept": 1.0, "counts_kept": 1.0, "colours_kept": 1.0, "disturbed": 0,
    }  # fmt: skip


def test_one_that_does_not() -> None:
    idea = Idea(str(ROW["prompt"]), (Thing("wine glass", 1, "purple"), Thing("bus", 3)))
    found = scored("two buses, a green wine glass, " + "soft light, " * 30, idea)
    assert (found["kept_words"], found["budget_kept"], found["repeated_phrases"]) == (0.0, 0.0, 29)
    assert (found["objects_kept"], found["counts_kept"], found["colours_kept"]) == (1.0, 0.0, 0.0)
    assert scored("a cat", idea)["objects_kept"] == 0.0
    assert scored("{idea} " + "light, " * 60, "a cat", budget=2)["budget_kept"] == 1.0


def test_the_seed_is_the_number_of_the_idea_and_nothing_is_no_share() -> None:
    asked: list[tuple[str, int]] = []

    def expander(idea: str, seed: int) -> str:
        asked.append((idea, seed))
        return idea

    evaluate(expander, ["a", Idea("b")], ClipTokenizer.load())
    assert asked == [("a", 0), ("b", 1)]
    empty = evaluate(expander, [], ClipTokenizer.load())
    assert empty == {**dict.fromkeys(empty), "ideas": 0, "repeated_phrases": 0, "disturbed": 0}


def test_what_is_added_disturbs_a_thing_by_naming_counting_or_colouring_it_again() -> None:
    glass, buses = Thing("wine glass", 1, "purple"), Thing("bus", 3)

    def disturbed(added: str, *things: Thing) -> float | int | None:
        return scored("{idea}, " + added, Idea(str(ROW["prompt"]), things))["disturbed"]

    assert disturbed("soft light, film grain", glass, buses) == 0
    assert disturbed("on a street with buses", glass, buses) == 1
    assert disturbed("many wine glasses", glass, buses) == 1
    assert disturbed("green backdrop", glass, buses) == 1  # the buses have no colour of their own
    assert disturbed("two moons", glass, buses) == 1  # and the glass no count
    assert disturbed("4 red lamps", glass, buses) == 2
    assert disturbed("wine on a table, 50mm lens", glass, buses) == 0 and disturbed("50 lamps", buses) == 1


def test_words_weights_and_networks_are_kept_or_not() -> None:
    assert keeps("(Red cats:1.2), sky <lora:x:0.5>", "sky, (red cats:1.2), <lora:x:0.5>, tree")
    assert not keeps("(red cat:1.2)", "red cat, tree")
    assert not keeps("(red cat:1.2)", "(red cat:1.3)")
    assert not keeps("a cat <lora:x:0.5>", "a cat <lora:x:0.6>")
    assert not keeps("two cats", "three cats")
    assert repetitions("a cat, tree, A cat, (tree:1.2)") == 2


def test_the_published_lists_score_full_marks_unchanged() -> None:
    geneval = load(shared("geneval_metadata.jsonl"))
    parti = load(shared("PartiPrompts.tsv"))
    assert (len(geneval), len(parti)) == (553, 1632)
    found = scored("{idea}", *geneval[::4], *(idea for idea in parti[::16] if "{" not in idea.text))
    for name in ("kept_words", "budget_kept", "objects_kept", "counts_kept", "colours_kept"):
        assert found[name] == 1.0, name
