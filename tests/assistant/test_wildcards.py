"""Wildcards and templates: drawn by seed, bounded, and A1111's own syntax left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import BadArgument
from assistant.wildcards import combinations, expand, names

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "animal.txt": "\ufeffcat\n# a remark\n\ndog\n",
        "place/city.txt": "Paris\nRome\n",
        "nested.txt": "a __animal__ in __place/city__\n",
        "loop.txt": "again __pool__\n",
        "pool.txt": "and __loop__\n",
        "syntax.txt": "[day|night]\n(x:1.2)\n<lora:my__animal__x:0.5>\n100% { wool\n",
        "more.yaml": "colour:\n  warm: [red, orange]\n  cold:\n    - 3::blue\n    - green\n",
        "list.json": '{"shape": ["round", "square"]}',
    }
    for name, text in files.items():
        path = tmp_path / "wild" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "wild"


def heard(template: str, *folders: Path, count: int = 1) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    return expand(template, folders, seed=1, count=count, warn=warnings.append), warnings


def test_the_wildcards_of_the_folders(folder: Path, tmp_path: Path) -> None:
    expected = "animal colour/cold colour/warm loop nested place/city pool shape syntax".split()
    assert names([folder]) == expected
    other = tmp_path / "other"
    other.mkdir()
    (other / "animal.txt").write_text("newt\n")
    (other / "broken.yaml").write_text("a: [\n")
    warnings: list[str] = []
    assert names([folder, other, tmp_path / "none"], warn=warnings.append) == expected
    assert ["broken.yaml" in warnings[0], "no wildcard folder" in warnings[1]] == [True, True]
    assert expand("__animal__", [folder, other], seed=0) == ["newt"]


def test_a_prompt_is_known_by_its_seed(folder: Path) -> None:
    template = "a {red|green|blue} __animal__, {2$$x|y|z}, __nested__"
    many = expand(template, [folder], seed=5, count=20)
    assert many == expand(template, [folder], seed=5, count=20)
    assert many[7] == expand(template, [folder], seed=12)[0]
    assert len(set(many)) > 10


def test_weights_and_ranges(folder: Path) -> None:
    drawn = expand("{9::a|1::b}", [], seed=0, count=300)
    assert 240 < drawn.count("a") < 295
    cold = expand("__colour/cold__", [folder], seed=0, count=300)
    assert 190 < cold.count("blue") < 255
    assert set(expand("{1-2$$ and $$a|b}", [], seed=0, count=60)) == {"a", "b", "a and b", "b and a"}
    # The weight of what has been drawn leaves with it.
    assert expand("{2$$0::a|5::b|5::c}", [], seed=0, count=60).count("b,a") == 0


def test_all_combinations_up_to_a_limit(folder: Path) -> None:
    assert combinations("{a|b} __animal__", [folder]) == ["a cat", "a dog", "b cat", "b dog"]
    assert combinations("__nested__", [folder]) == [
        f"a {animal} in {city}" for animal in ("cat", "dog") for city in ("Paris", "Rome")
    ]
    warnings: list[str] = []
    assert combinations("{a|b|c}", [], 2, warn=warnings.append) == ["a", "b"]
    assert warnings == ["there are more than 2 combinations; the first are kept"]
    assert combinations("__colour/cold__", [folder]) == ["blue", "green"]


def test_an_unknown_wildcard_stays_and_the_nearest_is_named(folder: Path) -> None:
    assert heard("a __animl__, b", folder, count=3) == (
        ["a __animl__, b"] * 3, ['__animl__ is no wildcard. Did you mean "animal"?'],
    )  # fmt: skip
    assert combinations("{a|b} __animl__", [folder]) == ["a __animl__", "b __animl__"]
    assert heard("{2$$__animl__}", folder)[0] == ["__animl__"]
    assert heard("${size} x")[0] == ["${size} x"]
    assert heard("__../secret__", folder)[0] == ["__../secret__"]


def test_cycles_end(folder: Path) -> None:
    prompts, warnings = heard("__loop__", folder)
    assert prompts == ["again and __loop__"]
    assert warnings == ["__loop__ comes back to itself by loop > pool; it stays as text"]
    assert combinations("__loop__", [folder]) == ["again and __loop__"]


@pytest.mark.timeout(60)
def test_giant_products_end(tmp_path: Path) -> None:
    for n in range(25):
        (tmp_path / f"w{n}.txt").write_text(f"__w{n + 1}__ __w{n + 1}__\n")
    (tmp_path / "w25.txt").write_text("x\n")
    with pytest.raises(BadArgument, match="grows without an end"):
        expand("__w0__", [tmp_path], seed=0)
    warnings: list[str] = []
    assert combinations("__w0__", [tmp_path], warn=warnings.append) == []
    assert "no end in sight" in warnings[0]
    assert len(combinations("{a|b|c|d} " * 40, [], 50)) == 50
    assert combinations("{9$$" + "|".join("{a|b}" for _ in range(12)) + "}", [], 5) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a|b], (x:1.2), ((y)), <lora:a__b__c:0.8>, [c:d:0.5]",
        "100% wool, $5, #1, a_b, a__b, C++, \\(a\\), https://x.org /* y */",
        "stray } and | pipe, 1::2",
        "",
        "  blanks ,\n and lines \n",
    ],
)
def test_what_is_no_template_passes_untouched(text: str, folder: Path) -> None:
    assert heard(text, folder, count=2) == ([text] * 2, [])
    assert combinations(text, [folder]) == [text]


def test_a1111s_syntax_inside_of_options_and_wildcards(folder: Path) -> None:
    assert combinations("{[a|b]|(c:1.2)}", []) == ["[a|b]", "(c:1.2)"]
    assert combinations("[{a|b}|c]", []) == ["[a|c]", "[b|c]"]
    assert combinations("<lora:{a|b}:1>", []) == ["<lora:a:1>", "<lora:b:1>"]
    assert set(expand("__syntax__", [folder], seed=0, count=60)) == {
        "[day|night]", "(x:1.2)", "<lora:mycatx:0.5>", "<lora:mydogx:0.5>", "100% { wool",
    }  # fmt: skip


def test_jinja_is_not_run() -> None:
    assert expand("{{ 7 * 7 }}", [], seed=0)[0].strip() == "7 * 7"
    assert "import" in expand("{% import os %}", [], seed=0)[0]


def test_remarks_and_cycling_options(folder: Path) -> None:
    assert heard("# what this is for\na {x}\n// more", folder)[0] == ["a x"]
    assert expand("{@a|b|c}", [], seed=0, count=4) == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a {b|c", "character 3 is never closed"),
        ("{" * 40 + "a" + "}" * 40, "nests deeper"),
        ("a" * 20_001, "longer than"),
        ("{2$$$$a|b}", "2\\$\\$|cannot"),
    ],
)
def test_a_broken_template_is_one_line(template: str, says: str) -> None:
    with pytest.raises(BadArgument, match=says) as caught:
        expand(template, [], seed=0)
    assert "\n" not in caught.value.message


@settings(max_examples=60, deadline=None)
@given(st.text("ab {}[]()|_$%#/\\:<>,1.@!~-=\n", max_size=24), st.integers(0, 9))
def test_any_text_is_filled_in_or_refused(template: str, seed: int) -> None:
    try:
        once = expand(template, [], seed=seed, count=2)
        combinations(template, [], 5)
    except BadArgument:
        return
    assert once == expand(template, [], seed=seed, count=2) and len(once) == 2


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Co"], exclude_characters="{}_$%#/"), max_size=40))
def test_text_without_template_syntax_is_kept(text: str) -> None:
    assert expand(text, [], seed=0) == [text]


def test_a_collection_from_outside() -> None:
    shared = Path(os.environ.get("ATELIER_SHARED", ROOT.parent / "shared"))
    folder = shared / "data" / "prompts" / "wildcards_mattjaybe" / "wildcards"
    if not folder.is_dir():
        pytest.skip("the wildcard collection is not here (ATELIER_SHARED)")
    assert len(names([folder])) > 150
    prompts, warnings = heard("a __bird__ with a __choker__, {2$$__color__}", folder, count=10)
    assert warnings == [] and all("__" not in prompt for prompt in prompts)
