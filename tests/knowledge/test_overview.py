from __future__ import annotations

from pathlib import Path

import pytest
from knowledge_samples import Put, chunks, document

from knowledge.embedders import Embedder
from knowledge.errors import DocumentNotFoundError
from knowledge.library import Library
from knowledge.overview import _MOST_SENTENCES, compare, lines_of, summarise
from knowledge.records import Chunk

SAMPLERS = (
    "# Samplers\n\nEuler is a sampler that takes one step at a time. Heun takes two looks at every step and costs "
    "twice as much.\n- Ancestral samplers add fresh noise after every single step\n\nShort line.",
    "```\nsteps = 30 of the sampler in the code block\n```\nA sampler without fresh noise settles on one picture. "
    "The weather in the mountains was cold and wet that day.\nMore than thirty steps of Euler change very little.",
)


def test_a_summary_is_verbatim_in_order_and_no_longer_than_asked(library: Library) -> None:
    library.put(document("/a.md"), chunks(*SAMPLERS))
    every = lines_of("/a.md", library.chunks("/a.md"))
    assert len(every) == 6
    for most in (1, 3, 5, 6, 50):
        found = library.summary("/a.md", most=most)
        assert len(found) == min(most, 6)
        assert [one for one in every if one in found] == found
    for line in every:
        (home,) = (chunk for chunk in library.chunks("/a.md") if line.text in chunk.text)
        start = home.text.index(line.text)
        assert line.line == home.line_start + home.text[:start].count("\n")
        assert (line.path, line.page) == ("/a.md", None)


def test_only_sentences_that_say_something_are_lines() -> None:
    texts = [line.text for line in lines_of("/a.md", chunks(*SAMPLERS))]
    assert "Ancestral samplers add fresh noise after every single step" in texts
    assert not any(part in text for text in texts for part in ("# Samplers", "Short line", "steps = 30"))


def test_a_summary_keeps_to_the_subject_and_does_not_repeat_itself(minilm: Embedder) -> None:
    said = [
        "The sampler removes a little of the noise from the latents at every step.",
        "At every step the sampler removes a little noise from the latents.",
        "Ancestral samplers put fresh noise back into the latents after each step.",
        "My aunt sold her old bicycle to a neighbour for twenty francs.",
    ]
    found = [line.text for line in summarise("/a.md", chunks(" ".join(said)), minilm, most=2)]
    assert said[2] in found
    assert len({said[0], said[1]} & set(found)) == 1


def test_a_long_document_is_summarised_from_all_its_length(hashed: Embedder) -> None:
    count = 3 * _MOST_SENTENCES + 10
    parts = [Chunk(n, f"Sentence number {n} speaks of subject {n} and nothing else.", "", n, n) for n in range(count)]
    lines = lines_of("/a.md", parts)
    assert len(lines) <= _MOST_SENTENCES
    assert lines[0].line == 0
    assert lines[-1].line > count - 8
    found = summarise("/a.md", parts, hashed, most=5)
    assert len(found) == 5
    assert [line.line for line in found] == sorted(line.line for line in found)


def test_a_summary_can_be_stopped(hashed: Embedder) -> None:
    class StopError(Exception):
        pass

    def check() -> None:
        raise StopError

    with pytest.raises(StopError):
        summarise("/a.md", chunks(*SAMPLERS), hashed, most=2, check=check)


@pytest.mark.parametrize("texts", [(), ("",), ("# Heading of seven words and no more",), ("Too short.",)])
def test_a_document_without_sentences_has_no_summary(library: Library, texts: tuple[str, ...]) -> None:
    library.put(document("/a.md"), chunks(*texts), status="indexed")
    library.put(document("/b.md"), chunks(*SAMPLERS))
    assert library.summary("/a.md") == []
    found = library.comparison("/a.md", "/b.md", most=2)
    assert (found["both"], found["only_one"]) == ([], [])
    assert found["only_other"] == lines_of("/b.md", library.chunks("/b.md"))[:2]


def test_a_document_of_one_sentence_is_its_own_summary(library: Library) -> None:
    text = "The seed starts the random noise of a picture."
    library.put(document("/a.md"), chunks(text))
    assert [line.text for line in library.summary("/a.md")] == [text]
    same = library.comparison("/a.md", "/a.md")
    assert [(one.text, other.text) for one, other in same["both"]] == [(text, text)]
    assert same["only_one"] == same["only_other"] == []


def test_a_document_that_is_not_there_is_an_error(library: Library, put: Put) -> None:
    put(library, "/a.md", "text")
    for ask in (lambda: library.summary("/b.md"), lambda: library.comparison("/a.md", "/b.md")):
        with pytest.raises(DocumentNotFoundError):
            ask()


def test_a_comparison_finds_the_pair_and_what_each_has_alone(minilm: Embedder) -> None:
    one = lines_of(
        "/a.md",
        chunks(
            "The guidance scale says how closely the picture follows the prompt.\n\n"
            "Thirty photos of one person are enough for a training set."
        ),
    )
    other = lines_of(
        "/b.md",
        chunks(
            "Beetroot soup is served cold with sour cream in summer.\n\n"
            "How closely a picture follows its prompt is set by the guidance scale."
        ),
    )
    found = compare(one, other, minilm)
    assert found["both"] == [(one[0], other[1])]
    assert found["only_one"] == [one[1]]
    assert found["only_other"] == [other[0]]
    turned = compare(other, one, minilm)
    assert turned["both"] == [(other[1], one[0])]
    assert turned["only_one"] == [other[0]]


def test_a_sentence_stands_in_one_pair_only_and_the_nearest_come_first(hashed: Embedder) -> None:
    one = lines_of("/a.md", chunks("alpha beta gamma delta epsilon zeta.", "alpha beta gamma delta epsilon zeta eta."))
    other = lines_of("/b.md", chunks("alpha beta gamma delta epsilon zeta.", "alpha beta gamma delta epsilon kappa."))
    found = compare(one, other, hashed)["both"]
    assert found[0] == (one[0], other[0])
    assert len(found) == 2
    assert found[1] == (one[1], other[1])
    assert compare(one, other, hashed, most=1)["both"] == found[:1]


def test_near_duplicates_are_found_with_their_share(library: Library, put: Put) -> None:
    shared = [f"A passage about subject{n} and thing{n} with word{n}" for n in range(4)]
    put(library, "/whole.md", *shared, "One more about tungsten lamps", "And another of beetroot soup")
    put(library, "/part.md", *shared[:3], "Something about glaciers and rivers")
    put(library, "/copy.md", *shared, "One more about tungsten lamps", "And another of beetroot soup")
    put(library, "/half.md", shared[0], "Painting with oil on linen canvas", "A train leaves the station early")
    put(library, "/alone.md", "Nothing of the others is said here", "Nor is it there")
    assert library.duplicates() == [
        ("/copy.md", "/whole.md", 1.0),
        ("/copy.md", "/part.md", 0.75),
        ("/part.md", "/whole.md", 0.75),
    ]
    library.remove("/copy.md")
    assert library.duplicates() == [("/part.md", "/whole.md", 0.75)]


def test_a_document_that_repeats_itself_is_no_duplicate(library: Library, put: Put) -> None:
    assert library.duplicates() == []
    put(library, "/a.md", "the same words again", "the same words again")
    put(library, "/b.md", "quite different things")
    assert library.duplicates() == []


def test_documents_on_one_subject_are_no_duplicates(tmp_path: Path, minilm: Embedder) -> None:
    with Library(tmp_path, embedder=minilm, writable=True) as library:
        library.put(document("/a.md"), chunks("The seed starts the noise. The same seed gives the same picture."))
        library.put(document("/b.md"), chunks("A seed is a number from which the noise of a picture is made."))
        library.put(document("/c.md"), chunks("The seed starts the noise. The same seed gives the same picture!"))
        assert [pair[:2] for pair in library.duplicates()] == [("/a.md", "/c.md")]
