from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knowledge_samples import chunks, document

from knowledge.errors import QueryError
from knowledge.filters import EVERYTHING, Filter, build, parse
from knowledge.library import Library

NAMES = ("collection", "path", "tag", "kind", "since", "until", "prop")


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("collection:guides", Filter(collection="guides")),
        ("path:video/*", Filter(path="video/*")),
        ("tag:lens", Filter(tag="lens")),
        ("TAG:lens", Filter(tag="lens")),
        ("kind:pdf", Filter(kind="pdf")),
        ("since:2024", Filter(since="2024")),
        ("since:2024-05-31", Filter(since="2024-05-31")),
        ("until:2024-05", Filter(until="2024-05")),
        ("prop:author=Ivanov", Filter(properties=(("author", "Ivanov"),))),
        ("prop:author", Filter(properties=(("author", ""),))),
        ("prop:a=1 prop:b=x=y", Filter(properties=(("a", "1"), ("b", "x=y")))),
        ('tag:"two words"', Filter(tag="two words")),
        ('collection:"О видео"', Filter(collection="О видео")),
        ('prop:"author=Ivan Petrov"', Filter(properties=(("author", "Ivan Petrov"),))),
        ('prop:author="Ivan Petrov"', Filter(properties=(("author", "Ivan Petrov"),))),
    ],
)
@pytest.mark.parametrize("place", ["{} how do lenses work", "how do {} lenses work", "how do lenses work  {}"])
def test_a_filter_word_is_taken_out_wherever_it_stands(word: str, wanted: Filter, place: str) -> None:
    assert parse(place.format(word)) == ("how do lenses work", wanted)


def test_several_words_hold_together() -> None:
    rest, chosen = parse("tag:lens seed kind:pdf  since:2023-02 noise")
    assert rest == "seed noise"
    assert chosen == Filter(tag="lens", kind="pdf", since="2023-02")
    assert chosen
    assert not EVERYTHING


@pytest.mark.parametrize(
    "text",
    [
        "note: this  one",
        "note:this one",
        "see https://example.org/tag:a for  more",
        "the word tag: alone",
        "a (tag:lens) in brackets",
        "mytag:lens",
        "at 12:30 with ratio 16:9",
        'he said: "tag"',
        "",
    ],
)
def test_other_words_with_colons_stay(text: str) -> None:
    assert parse(text) == (text, EVERYTHING)


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("value", ["yesterday", "24", "2024-5", "2024/05", "2024-05-3", "05.2024", '"2024 05"'])
def test_a_broken_date_is_named(name: str, value: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(f"lens {name}:{value}")
    assert value.strip('"') in caught.value.message
    assert "2024-05-31" in caught.value.hint


def test_named_values_give_the_same_filter_as_words() -> None:
    built = build(tag="lens", prop=["author=Ivanov", "draft"], path="", since=None, kind=[])
    assert built == parse("x tag:lens prop:author=Ivanov prop:draft")[1]
    assert build(collection="") == EVERYTHING
    with pytest.raises(QueryError) as caught:
        build(colection="guides")
    assert "collection" in caught.value.hint
    with pytest.raises(QueryError):
        build(until="soon")


# By no filter's name: what stands before a colon in these is never one of NAMES.
free = st.text(max_size=60).filter(lambda text: not any(f"{name}:" in text.lower() for name in NAMES))


@given(free)
def test_text_without_filter_words_comes_back_unchanged(text: str) -> None:
    assert parse(text) == (text, EVERYTHING)


pieces = st.one_of(st.sampled_from([*(f"{name}:" for name in NAMES), '"', "=", " ", "\n", ":"]), st.text(max_size=5))


@given(st.lists(pieces, max_size=12).map("".join))
def test_any_text_is_parsed_or_its_date_refused(text: str) -> None:
    try:
        rest, chosen = parse(text)
    except QueryError:
        assert "since:" in text.lower() or "until:" in text.lower()
        return
    assert (rest == text) if not chosen else len(rest) < len(text)


# Against a library

KINDS: dict[str, dict[str, Any]] = {
    "/n/Video/motion.md": {"collection": "Guides", "kind": "markdown", "date": "2024-05-03", "tags": ("Lens/wide",)},
    "/n/video/frames.pdf": {"collection": "Guides", "kind": "pdf", "date": "2024-06-01", "tags": ("lensflare",)},
    "/n/text/seeds.md": {"collection": "Заметки", "kind": "markdown", "date": "2023-12-31", "tags": ("lens", "Свет")},
    "/n/text/undated.txt": {"kind": "text"},
    "/n/text/facts.md": {
        "date": "2024-12-31",
        "kind": "logseq",
        "tags": ("a/lens",),
        "properties": {
            "Author": "Иванов",
            "topics": ["Seeds", "Шум"],
            "rating": 5,
            "draft": True,
            "quote": 'not "json" [',
            "empty": None,
        },
    },
    "/n/text/other.md": {"date": "2025-01-01", "properties": {"author": "Петров", "topics": "seeds", "draft": False}},
}


@pytest.fixture
def varied(library: Library) -> Library:
    for path, values in KINDS.items():
        one = replace(document(path, "Page"), **values)
        library.put(one, chunks(f"The seed of {path}", "The noise of a picture"), embed=False)
    library.embed_pending()
    return library


def paths(library: Library, within: Filter) -> set[str]:
    found = {Path(path).name for path in library.paths_of(library._store.chunks_within(within)).values()}
    return {name.rpartition(".")[0] for name in found}


EVERY = {"motion", "frames", "seeds", "undated", "facts", "other"}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("collection:guides", {"motion", "frames"}),
        ("collection:ЗАМЕТКИ", {"seeds"}),
        ("collection:guide", set()),
        ("kind:PDF", {"frames"}),
        ("tag:lens", {"motion", "seeds"}),
        ("tag:#LENS/Wide", {"motion"}),
        ("tag:свет", {"seeds"}),
        ("tag:a", {"facts"}),
        ("path:video/*", {"motion", "frames"}),
        ("path:TEXT", {"seeds", "undated", "facts", "other"}),
        ("path:*.pdf", {"frames"}),
        ("path:seed?.md", {"seeds"}),
        ("path:nowhere", set()),
        ("since:2024", {"motion", "frames", "facts", "other"}),
        ("since:2024-06", {"frames", "facts", "other"}),
        ("since:2024-06-02", {"facts", "other"}),
        ("until:2023", {"seeds"}),
        ("until:2024", {"motion", "frames", "seeds", "facts"}),
        ("until:2024-05", {"motion", "seeds"}),
        ("until:2024-05-02", {"seeds"}),
        ("since:2024-05-03 until:2024-05-03", {"motion"}),
        ("prop:author", {"facts", "other"}),
        ("prop:AUTHOR=иванов", {"facts"}),
        ("prop:author=Иван", set()),
        ("prop:topics=seeds", {"facts", "other"}),
        ("prop:topics=ШУМ", {"facts"}),
        ("prop:rating=5", {"facts"}),
        ("prop:draft=true", {"facts"}),
        ("prop:draft=False", {"other"}),
        ("prop:empty", {"facts"}),
        ('prop:quote="not"', set()),
        ("prop:author prop:draft=true", {"facts"}),
        ("collection:guides kind:markdown tag:lens", {"motion"}),
        ("collection:guides kind:logseq", set()),
    ],
)
def test_each_word_lets_through_just_what_it_names(varied: Library, words: str, wanted: set[str]) -> None:
    assert paths(varied, EVERYTHING) == EVERY
    assert paths(varied, parse(words)[1]) == wanted


def test_a_value_is_no_sql(varied: Library) -> None:
    for text in ("' OR 1=1 --", "%", '"', "a' UNION SELECT 1"):
        for name in NAMES[:4]:
            assert paths(varied, Filter(**{name: text})) == set()
        assert paths(varied, Filter(properties=((text, text),))) == set()


def test_a_number_that_is_no_json_spoils_no_search(varied: Library) -> None:
    one = replace(document("/n/nan.md"), properties={"rating": float("nan"), "author": "Иванов"})
    varied.put(one, chunks("A seed without a rating"))
    assert "facts" in paths(varied, Filter(properties=(("author", "иванов"),)))


FILTERS = ["collection:guides", "kind:pdf", "tag:lens", "path:text/*", "until:2023", "prop:topics=seeds", "tag:none"]


@pytest.mark.parametrize("words", FILTERS)
@pytest.mark.parametrize("question", ["seed", "noise of the picture", "an unheard word"])
def test_a_search_never_leaves_its_filter(varied: Library, question: str, words: str) -> None:
    within = parse(words)[1]
    inside = set(varied._store.chunks_within(within))
    found = varied.explain(question, within)
    seen = {hit.chunk_id for hit in found.hits}
    assert seen <= inside
    # The dense list reaches every chunk of a small library, whether its words match or not.
    assert {hit.chunk_id for hit in found.hits if hit.dense_rank} == inside
    assert {hit.chunk_id for hit in found.hits if hit.bm25_rank} <= inside
    everywhere = {hit.chunk_id for hit in varied.explain(question).hits}
    assert len(everywhere) == 2 * len(EVERY)
    assert {passage.chunk_id for passage in varied.search(question, within=within)} <= inside
    assert {passage.chunk_id for passage in varied.evidence(question, within=within).passages} <= inside


@pytest.mark.parametrize("words", FILTERS)
def test_full_text_alone_keeps_to_the_filter_too(varied: Library, words: str) -> None:
    within = parse(words)[1]
    inside = varied._store.chunks_within(within)
    found = {chunk for chunk, _ in varied._store.bm25(["seed", "nois"], 50, within)}
    assert found == set(inside)


def test_a_filter_that_lets_nothing_through_finds_nothing(varied: Library) -> None:
    assert varied.search("seed", within=Filter(tag="none")) == []
    evidence = varied.evidence("What is the seed?", within=Filter(tag="none"))
    assert evidence.refused
    assert evidence.passages == ()


def test_the_best_inside_is_found_below_many_better_outside(library: Library) -> None:
    for number in range(230):
        library.put(document(f"/out/{number}.md"), chunks("seed seed seed"), embed=False)
    library.put(replace(document("/in/a.md"), collection="mine"), chunks("A long text that names the seed once"))
    found = library.search("seed", within=Filter(collection="mine"))
    assert [passage.path for passage in found] == ["/in/a.md"]
    assert found[0].signals["bm25_rank"] == found[0].signals["dense_rank"] == 1
