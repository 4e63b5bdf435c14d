"""Compel's syntax as a tree, against compel itself and by rule."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.prompts.compel_syntax import CompelPrompt, Lora, Node, Swap, Text, Weighted, parse

# What compel 2.5.1 reads, each in its own way.
READ = [
    "", "   ", "a cat", "a cat++ on a mat--", "(a cat)1.3 x", "(a cat)1.3x", "(a cat) 1.3", "(a)-1", "(a)+ +", "a + b",
    "+a", "-a b", "C++ and blue-eyed cat--", "a,b,c", "a, b, (c)1.2 , d", "a,,(b)1.2", "a cat++, on", "(a cat, big)++.",
    "(a (b)1.2 c)1.5", "((a))", "(unbalanced", "unbalanced)", r"a \(b\) c", r"a \(b\)++ c", r"\"a\"", '"a cat"1.5 mat',
    '"a (cat)1.2 b"1.5 mat', 'a "b" c', 'say "hi', '("a", "b").and()', '("a", "b").and(1,2)', '("a", "b").and() tail',
    "(a, b).and()", '("a").and()', '("a, c", "b (x)1.3").and()', '("a", "b").add(1,2)', '("a",).and()',
    '("a - b", "c++").and()', '("a", "b").blend(0.5, 0.5)', '("a", "b").blend(1, -0.5, no_normalize)',
    "(a cat, b).blend(1,1)", 'a cat.swap("dog")', "a cat.swap(big dog, s_start=0.1, t_end=0.5) on",
    "a (black cat).swap(white dog)", "a cat.swap()", "a cat.swap(dog.x)", "a cat.swap((dog, x), s_end=1) b",
    "cat .swap(dog)", "cat.attend(1.5) x", "cat.attend(++) x", "(a b).attend(-)", "withLora(foo, 0.5) a cat",
    "a withLora(foo) cat", 'withLora(a,0.5) ("a","b").blend(1,1)', 'withLora(a,0.5) ("a","b").and(1,1)', ".blend",
    "a cat.nonsense(1)", "(a)1.2.3", "(a)1e3", "(a)-0.5", "()", "()1.5 a", '""', "x (  ) y", "(a)++--", "word++word",
    "16:9", "(a.b)1.2", "(v1.5 x)1.2", "(a - b)1.2", "(a = b)1.2", "a\\", r"(a\\b)1.2", r"\\\(x y", '("a" "b")++',
    "(word:1.3)", "a\tb\nc", r"a\,b \+ c",
]  # fmt: skip
REFUSED = [
    '("a", "b").blend(0.5, 0.5) tail', '("a", "b").and(1)', '("a", "b").and(x)', '("a", "b").blend(0.5, 0.5, x)',
    '("a cat.swap(dog)", "b").blend(1, 1)', "a\x0bb",
]  # fmt: skip


@pytest.fixture(scope="module")
def compel() -> Any:
    return pytest.importorskip("compel.prompt_parser")


def flattened(compel: Any, text: str) -> list[tuple[str, float]] | None:
    """Compel's own fragments in a row, a swap's original for the swap; None where it raises."""
    try:
        conjunction = compel.PromptParser().parse_conjunction(text)
    except Exception:
        return None
    row: list[tuple[str, float]] = []
    for prompt in conjunction.prompts:
        for part in prompt.prompts if isinstance(prompt, compel.Blend) else [prompt]:
            for child in part.children:
                row += [(f.text, f.weight) for f in getattr(child, "original", [child])]
    return row


@pytest.mark.parametrize("text", READ)
def test_fragments_are_compels_own(compel: Any, text: str) -> None:
    tree = parse(text)
    assert tree.flat() == flattened(compel, text)
    assert str(tree) == text
    assert not any(warning.message.startswith("Compel refuses") for warning in tree.warnings)


@pytest.mark.parametrize("text", REFUSED)
def test_what_compel_refuses_is_a_warning(compel: Any, text: str) -> None:
    assert flattened(compel, text) is None
    assert any(warning.message.startswith("Compel refuses") for warning in parse(text).warnings)


def test_random_prompts_read_as_compel_reads_them(compel: Any) -> None:
    source = random.Random(3)
    letters = [
        *'ab ,.+-=()"\\5:',
        "(a)1.2",
        '"b c"',
        ".swap(",
        ".attend(",
        ".and()",
        '("a", "b")',
        " ",
        "++",
        " (",
        "\\(",
    ]
    for _ in range(150):
        text = "".join(source.choice(letters) for _ in range(source.randint(0, 10)))
        if text.count("(") > 4:  # compel takes five times as long at each level
            continue
        wanted = flattened(compel, text)
        tree = parse(text)
        if wanted is None:
            assert any(warning.message.startswith("Compel refuses") for warning in tree.warnings), text
        else:
            assert tree.flat() == wanted, text


def test_parts_weights_and_loras() -> None:
    tree = parse('("a", "b (c)1.2").blend(0.3, 0.7, no_normalize)')
    assert (tree.kind, tree.weights, tree.normalize) == ("blend", (0.3, 0.7), False)
    assert tree.parts == ((Text("a"),), (Text("b "), Weighted((Text("c"),), 1.2)))
    assert tree.fragments() == [[("a", 1.0)], [("b", 1.0), ("c", 1.2)]]
    assert parse('("a", "b").and()').weights == (1.0, 1.0)
    assert parse('useLora(x, 0.5) ("a", "b").blend(1, 1)').loras == (Lora("x", 0.5),)


def test_nodes_have_their_places() -> None:
    text = "a,b (big (red)1.2 fox)1.3, cat.swap(dog, s_end=0.5) withLora(x)"
    [nodes] = parse(text).parts
    kinds = [(type(node).__name__, text[node.start : node.end]) for node in nodes]
    assert kinds == [
        ("Text", "a,b "), ("Weighted", "(big (red)1.2 fox)1.3"), ("Text", ", "),
        ("Swap", "cat.swap(dog, s_end=0.5)"), ("Text", " "), ("Lora", "withLora(x)"),
    ]  # fmt: skip
    assert isinstance(nodes[1], Weighted)
    assert text[nodes[1].children[1].start : nodes[1].children[1].end] == "(red)1.2"
    assert isinstance(nodes[3], Swap)
    assert nodes[3].options == (("s_end", 0.5),)


@pytest.mark.parametrize(
    ("text", "said", "where"),
    [
        ("a (word:1.3) b", "write (word)1.3", "(word:1.3)"),
        ("a ((x)) b", "weigh nothing", "((x))"),
        ("a (x)-1 b", "whole weight", "(x)-1"),
        ("a (x", "read as text", "(x"),
        (r"a\,b", "keeps its backslash", r"\,"),
        ('("a", "b").and() tail', "drops the text", "tail"),
        ('("a", "b").blend(1, 1) tail', "refuses text", "tail"),
        ("((((((x))))))", "very long", "((((((x))))))"),
        (r'"a \n b"', "another letter", r"a \n b"),
        ('" "0.5', "on nothing", '" "0.5'),
    ],
)
def test_oddities_are_warned_of_with_their_place(text: str, said: str, where: str) -> None:
    found = [text[w.start : w.end] for w in parse(text).warnings if said in w.message]
    assert where in found, parse(text).warnings


def test_a_plain_prompt_has_no_warning() -> None:
    for text in ("a cat++ on a (red mat)1.2, blue-eyed", '("a", "b").and()', r"a \(b\) cat.swap(dog)"):
        assert parse(text).warnings == ()


WORDS = st.lists(st.text("abz019,.:;'()\"ё桜[]|<>\\", min_size=1, max_size=5), min_size=1, max_size=3).map(" ".join)
# A backslash before a bracket, a quote or a sign, or at an end, cannot be written; a comma takes a blank to itself.
TEXTS = WORDS.filter(lambda text: "\\" not in text).map(Text)
WEIGHTS = st.floats(0, 3, allow_nan=False) | st.sampled_from([1.1**2, 1.1**3, 0.9**2, 0.9**4])


def apart(nodes: list[Node]) -> tuple[Node, ...]:
    """No two texts side by side: they would be read as one."""
    row: list[Node] = []
    for node in nodes:
        if not (row and isinstance(node, Text) and isinstance(row[-1], Text)):
            row.append(node)
    return tuple(row)


NODES = st.recursive(
    TEXTS,
    lambda inner: st.builds(
        Weighted, st.lists(inner, min_size=1, max_size=3).map(apart), WEIGHTS
    ) | st.builds(
        Swap, st.lists(TEXTS, min_size=1, max_size=1).map(tuple), st.lists(TEXTS, min_size=1, max_size=1).map(tuple),
        st.sampled_from([(), (("s_end", 0.5),), (("t_start", 0.1), ("t_end", 1.0))]),
    ),
    max_leaves=8,
)  # fmt: skip
PARTS = st.lists(NODES | st.just(Lora("x", 0.5)), min_size=1, max_size=4).map(apart)


@given(PARTS)
def test_a_built_tree_prints_and_reads_back(part: tuple[Node, ...]) -> None:
    tree = CompelPrompt((part,))
    assert parse(str(tree)) == tree
    assert parse(str(tree)).flat() == tree.flat()


@given(st.lists(PARTS, min_size=2, max_size=3), st.floats(0.1, 2), st.booleans())
def test_built_lists_print_and_read_back(parts: list[Any], weight: float, normalize: bool) -> None:
    weights = (weight,) * len(parts)
    tree = CompelPrompt(tuple(parts), "and", weights)
    assert parse(str(tree)) == tree
    mixed = CompelPrompt(tuple(parts), "blend", weights, normalize)
    assert parse(str(mixed)) == mixed


def test_three_thousand_random_texts_never_crash() -> None:
    source = random.Random(17)
    letters = [
        *'ab ,.+-=()"\\5:\n\t\x0b',
        "(a)1.2",
        '"b c"',
        ".swap(",
        ".attend(",
        ".and(1)",
        ".blend(0.5, x)",
        "🌸",
        "٣",
    ]
    for _ in range(3000):
        text = "".join(source.choice(letters) for _ in range(source.randint(0, 40)))
        tree = parse(text)
        assert str(tree) == text
        tree.flat()
        assert all(0 <= warning.start < warning.end <= len(text) for warning in tree.warnings)


@pytest.mark.parametrize(
    "text",
    ["(" * 5000, "(" * 5000 + "a" + ")" * 5000 + "++", "(" * 40 + "a" + ")" * 40 + "1.2", '"' * 5000, '\\"' * 2500,
     "a+" * 2500,
     "+" * 9000, "(a" + "+" * 9000, "a.swap(" * 700, "(a " * 39 * 40, "," * 5000, "\\" * 5000, '("' * 2500],
    ids=range(13),
)  # fmt: skip
def test_deep_and_long_texts_are_quick(text: str) -> None:
    start = time.process_time()
    parse(text).flat()
    assert time.process_time() - start < 5


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, generation.prompts.compel_syntax, generation.prompts.convert, generation.prompts.schedule; "
        "print([m for m in ('torch','numpy','compel','pyparsing','transformers','diffusers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
