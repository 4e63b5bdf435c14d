from __future__ import annotations

import pytest
from knowledge_samples import Put

from knowledge.errors import QueryError
from knowledge.library import Library
from knowledge.search import fuse


def test_fusion_divides_each_list_by_its_best() -> None:
    hits = fuse([(1, 8.0), (2, 4.0)], [(2, 0.6), (3, 0.3)], {1: 0.0})
    assert [(hit.chunk_id, round(hit.score, 3)) for hit in hits] == [
        (2, 0.75),  # half of 4/8 and half of 0.6/0.6
        (1, 0.5),
        (3, 0.25),
    ]
    assert (hits[0].bm25_rank, hits[0].dense_rank) == (2, 1)
    assert (hits[1].bm25_rank, hits[1].dense_rank) == (1, None)


def test_fusion_of_one_list_keeps_its_order() -> None:
    assert [hit.chunk_id for hit in fuse([(5, 2.0), (4, 1.0)], [], {})] == [5, 4]
    assert [hit.chunk_id for hit in fuse([], [(5, 0.9), (4, -0.2)], {})] == [5, 4]
    assert fuse([], [], {}) == []


def test_a_search_finds_other_forms_of_russian_words(library: Library, put: Put) -> None:
    put(library, "/ru.md", "Сэмплеры ускоряют генерацию изображений", "Рецепт борща со свёклой")
    put(library, "/en.md", "Samplers speed up image generation")
    assert library.search("какой сэмплер для генерации")[0].text.startswith("Сэмплеры")
    assert library.search("свекла")[0].text.startswith("Рецепт")


def test_a_passage_says_where_it_is_and_why(library: Library, put: Put) -> None:
    put(library, "/a.md", "alpha beta", "gamma delta", title="Greek")
    passage = library.search("gamma", k=1)[0]
    assert (passage.path, passage.title, passage.line_start) == ("/a.md", "Greek", 11)
    assert passage.signals["bm25_rank"] == 1
    assert passage.signals["index"] == "chroma"
    assert 0 < passage.score <= 1


def test_a_copy_of_a_better_passage_is_left_out(library: Library, put: Put) -> None:
    for name in ("/a.md", "/b.md", "/c.md"):
        put(library, name, "The same note about Euler samplers")
    put(library, "/d.md", "Another note about Heun samplers")
    found = library.search("samplers", k=4)
    assert sorted(passage.path for passage in found)[-1] == "/d.md"
    assert len(found) == 2


@pytest.mark.parametrize("query", ["", "?!", "  \n", "***"])
def test_a_query_without_words_is_an_error_of_its_own(library: Library, query: str) -> None:
    with pytest.raises(QueryError):
        library.search(query)


@pytest.mark.parametrize("query", ['"', 'a" OR "b', "NEAR(a b)", "a*", "col:umn", "(", "AND", "\x00x"])
def test_the_query_language_of_sqlite_is_not_open_to_queries(library: Library, put: Put, query: str) -> None:
    put(library, "/a.md", "some text and more")
    try:
        library.search(query)
    except QueryError:
        assert not any(character.isalnum() for character in query)


def test_chunks_without_a_vector_are_found_by_their_words(library: Library, put: Put) -> None:
    put(library, "/a.md", "alpha")
    put(library, "/b.md", "omega", embed=False)
    assert library.search("omega")[0].path == "/b.md"


def test_a_library_without_any_vector_answers_by_words(library: Library, put: Put) -> None:
    put(library, "/a.md", "The seed starts the random noise of a picture.", embed=False)
    assert library.search("seed")[0].signals["index"] == "none"
    assert library.evidence("What does the seed start?").passages


def test_an_empty_library_finds_nothing(library: Library) -> None:
    assert library.search("anything") == []
    assert library.evidence("anything").refused
