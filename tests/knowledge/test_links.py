from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from knowledge_samples import document

from knowledge.filters import Filter
from knowledge.library import Library
from knowledge.links import link_targets, page_names
from knowledge.records import Chunk
from knowledge.search import _GOOD, _MOST_BACKLINKS, BACKLINK_BONUS, REFERENCE_SHARE, Hit


def put(
    library: Library,
    path: str,
    text: str,
    *,
    links: tuple[str, ...] = (),
    blocks: tuple[str, ...] = (),
    **values: Any,
) -> None:
    """A document of one chunk that links and holds blocks."""
    one = replace(document(path, values.pop("title", "")), **values)
    library.put(one, [Chunk(0, text, "", 7, 7, links=links, blocks=blocks)])


def hit(library: Library, question: str, path: str, within: Filter | None = None) -> Hit | None:
    found = library.explain(question, within or Filter())
    homes = library.paths_of([one.chunk_id for one in found.hits])
    return next((one for one in found.hits if homes[one.chunk_id] == path), None)


def gain(library: Library, question: str, path: str) -> float:
    found = hit(library, question, path)
    return 0.0 if found is None else found.links


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("((64a1-b))", "((64a1-b))"),
        ("Note#^abc", "((abc))"),
        ("#^abc", "((abc))"),
        ("Euler Sampler", "euler sampler"),
        ("Euler#How it works", "euler"),
        ("ЁЛКА", "елка"),
        ("../more/Euler%20Sampler.md", "euler sampler"),
        ("euler.markdown#part", "euler"),
        ("v1.5", "v1.5"),
        ("https://example.org/euler.md", ""),
        ("mailto:one@example.org", ""),
        ("#heading", ""),
    ],
)
def test_what_a_link_is_kept_as(link: str, target: str) -> None:
    assert link_targets(link)[-1:] == ([target] if target else [])


def test_a_namespace_is_kept_whole_and_by_its_end() -> None:
    assert link_targets("art/Lens") == ["art/lens", "lens"]


def test_a_page_is_called_by_title_file_and_aliases() -> None:
    one = replace(document("/n/euler_a.md", "Euler Sampler"), properties={"alias": ["Эйлер", "Euler"]})
    assert page_names(one) == ["euler sampler", "euler_a", "эйлер", "euler"]
    assert page_names(replace(document("/n/a.md", "A"), properties={"aliases": "Second"})) == ["a", "second"]


def test_a_block_that_shares_no_word_is_lifted_by_its_reference(library: Library) -> None:
    put(library, "/asks.md", "tungsten lamps see", links=("((64a1))",))
    for number in range(210):  # more than a list holds, so that no list reaches the block
        put(library, f"/filler/{number}.md", f"tungsten {number}")
    put(library, "/held.md", "Ровно восемь ватт", blocks=("63ff", "64a1"))
    put(library, "/alone.md", "Ровно девять ватт", blocks=("77aa",))
    asking, held = hit(library, "tungsten lamps", "/asks.md"), hit(library, "tungsten lamps", "/held.md")
    assert asking is not None
    assert held is not None
    assert (held.bm25, held.bm25_rank, held.dense_rank) == (0.0, None, None)
    assert held.score == held.links == pytest.approx(REFERENCE_SHARE * asking.score)
    assert hit(library, "tungsten lamps", "/alone.md") is None


def test_a_referenced_block_overtakes_its_equals(library: Library) -> None:
    for name in ("a", "b", "c"):
        put(library, f"/{name}.md", f"watts of the lamp {name}", blocks=(f"id-{name}",))
    put(library, "/asks.md", "tungsten lamp", links=("((id-c))",))
    order = [passage.path for passage in library.search("tungsten lamp")]
    assert order[:2] == ["/asks.md", "/c.md"]
    signals = {passage.path: passage.signals["links"] for passage in library.search("tungsten lamp")}
    assert signals["/c.md"] > 0
    assert signals["/a.md"] == signals["/b.md"] == signals["/asks.md"] == 0


def test_a_block_reference_of_obsidian_counts_like_one_of_logseq(library: Library) -> None:
    put(library, "/asks.md", "tungsten lamp", links=("Held#^watts",))
    put(library, "/held.md", "lamp of eight watts", blocks=("watts",))
    asking, held = hit(library, "tungsten lamp", "/asks.md"), hit(library, "tungsten lamp", "/held.md")
    assert asking is not None
    assert held is not None
    assert held.links == pytest.approx(REFERENCE_SHARE * asking.score)


def test_pages_linked_from_good_hits_gain_for_each_up_to_a_limit(library: Library) -> None:
    put(library, "/target.md", "the lamp")
    gains = []
    for number in range(_MOST_BACKLINKS + 2):
        put(library, f"/from{number}.md", f"tungsten lamp {number}", links=("Target",))
        gains.append(gain(library, "tungsten lamp", "/target.md"))
    steps = [BACKLINK_BONUS * min(_MOST_BACKLINKS, number + 1) for number in range(len(gains))]
    assert gains == pytest.approx(steps)


def test_two_links_from_one_document_are_one(library: Library) -> None:
    put(library, "/target.md", "the lamp")
    twice = [Chunk(n, f"tungsten lamp {n}", "", 1 + n, 1 + n, links=("target", "Target")) for n in range(2)]
    library.put(document("/from.md"), twice)
    assert gain(library, "tungsten lamp", "/target.md") == pytest.approx(BACKLINK_BONUS)


@pytest.mark.parametrize("link", ["Second Name", "второе имя", "a page.md", "A%20Page.md", "The Title#part"])
def test_a_page_is_found_by_any_of_its_names(library: Library, link: str) -> None:
    put(
        library,
        "/n/A Page.md",
        "the lamp",
        title="The Title",
        properties={"alias": ["second name", "Второе Имя"]},
    )
    put(library, "/from.md", "tungsten lamp", links=(link,))
    put(library, "/else.md", "tungsten lamp too", links=("another page",))
    assert gain(library, "tungsten lamp", "/n/A Page.md") == pytest.approx(BACKLINK_BONUS)
    assert [path for path, _, _ in library.backlinks("/n/A Page.md")] == ["/from.md"]


def test_links_within_a_document_count_nothing(library: Library) -> None:
    own = [
        Chunk(0, "tungsten lamp", "", 1, 1, links=("Page", "((b1))"), blocks=("b1",)),
        Chunk(1, "a lamp", "", 2, 2, links=("page#heading",)),
    ]
    library.put(document("/page.md", "Page"), own)
    put(library, "/other.md", "some lamp", links=("nowhere",))
    assert [one.links for one in library.explain("tungsten lamp").hits] == [0, 0, 0]
    assert library.backlinks("/page.md") == []


def test_a_weak_hit_lends_nothing(library: Library) -> None:
    put(library, "/best.md", "tungsten lamp watts")
    put(library, "/weak.md", "the lamp stood in a corner of a room with many other things", links=("target", "((b))"))
    put(library, "/target.md", "nothing of it", blocks=("b",))
    best, weak = (hit(library, "tungsten lamp watts", path) for path in ("/best.md", "/weak.md"))
    assert best is not None
    assert weak is not None
    assert weak.score < _GOOD * best.score
    assert gain(library, "tungsten lamp watts", "/target.md") == 0


def test_links_and_blocks_of_a_removed_document_vanish(library: Library) -> None:
    put(library, "/from.md", "tungsten lamp", links=("target", "((b))"))
    put(library, "/target.md", "a lamp", blocks=("b",))
    before = gain(library, "tungsten lamp", "/target.md")
    assert before > BACKLINK_BONUS
    put(library, "/stays.md", "tungsten lamp as well")
    library.remove("/from.md")
    assert gain(library, "tungsten lamp", "/target.md") == 0
    assert library.backlinks("/target.md") == []
    assert not library._store.links.exist()
    put(library, "/from.md", "tungsten lamp", links=("target", "((b))"))
    library.remove("/target.md")
    assert {one.links for one in library.explain("tungsten lamp").hits} == {0}


def test_links_of_a_changed_document_are_the_new_ones(library: Library) -> None:
    put(library, "/one.md", "a lamp")
    put(library, "/two.md", "a lamp too")
    put(library, "/from.md", "tungsten lamp", links=("one",))
    put(library, "/from.md", "tungsten lamp", links=("two",))
    assert gain(library, "tungsten lamp", "/one.md") == 0
    assert gain(library, "tungsten lamp", "/two.md") == pytest.approx(BACKLINK_BONUS)


def test_backlinks_name_the_place_of_each_link_in_order(library: Library) -> None:
    put(library, "/target.md", "a lamp", title="Target", blocks=("b1",))
    put(library, "/z.md", "by its page", links=("target",))
    two = [
        Chunk(0, "no link", "Head", 1, 1),
        Chunk(1, "by both", "Head > Part", 5, 6, links=("Target#x", "((b1))")),
        Chunk(2, "by block", "Head > End", 9, 9, links=("Target#^b1",)),
    ]
    library.put(document("/a.md"), two)
    put(library, "/unlike.md", "by another name", links=("targets", "((b2))"))
    assert library.backlinks("/target.md") == [
        ("/a.md", 5, "Head > Part"),
        ("/a.md", 9, "Head > End"),
        ("/z.md", 7, ""),
    ]
    assert library.backlinks("/z.md") == library.backlinks("/unknown.md") == []


def test_links_never_cross_a_filter(library: Library) -> None:
    put(library, "/in.md", "tungsten lamp", collection="mine", links=("((b))", "outside", "inside"))
    put(library, "/outside.md", "a lamp", collection="others", blocks=("b",), links=("inside",))
    put(library, "/inside.md", "the lamp", collection="mine")
    within = Filter(collection="mine")
    assert gain(library, "tungsten lamp", "/outside.md") > 0
    assert hit(library, "tungsten lamp", "/outside.md", within) is None
    found = hit(library, "tungsten lamp", "/inside.md", within)
    assert found is not None
    assert found.links == pytest.approx(BACKLINK_BONUS)  # of the one inside, not of the one outside


def test_a_page_outside_the_filter_lends_nothing_into_it(library: Library) -> None:
    put(library, "/out.md", "tungsten lamp", collection="others", links=("inside", "((b))"))
    put(library, "/inside.md", "the lamp", collection="mine", blocks=("b",))
    assert gain(library, "tungsten lamp", "/inside.md") > 0
    found = hit(library, "tungsten lamp", "/inside.md", Filter(collection="mine"))
    assert found is not None
    assert found.links == 0
