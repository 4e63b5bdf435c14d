"""The person's folders: the file they are kept in, and what the library makes of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from assistant_checks import do, states, workshop, write

from assistant.collections import Collections
from assistant.errors import BadArgument, BadSetting, one_line
from assistant.jobs.workshop import Workshop


@pytest.fixture
def kept(tmp_path: Path) -> Collections:
    return Collections(tmp_path / "config" / "collections.toml")


def test_a_folder_is_kept_under_its_own_name_and_found_again(kept: Collections, tmp_path: Path) -> None:
    one = kept.add(tmp_path / "My notes (2024)")
    assert (one.name, one.folders) == ("My-notes-2024", (str(tmp_path / "My notes (2024)"),))
    assert list(Collections(kept.path)) == [one]
    assert kept.add(tmp_path / "My notes (2024)") is one


def test_names_do_not_clash(kept: Collections, tmp_path: Path) -> None:
    names = [kept.add(tmp_path / place / "notes").name for place in ("a", "b", "c")]
    names += [kept.add(tmp_path / place).name for place in ("samples", "renders", "Заметки", "!!!")]
    assert names == ["notes", "notes-2", "notes-3", "samples-2", "renders-2", "Заметки", "notes-4"]


@pytest.mark.parametrize("name", ["renders", "samples", "a/b", 'a"b', "[x]", "a\nb", "\x1b[31m", "  "])
def test_a_name_that_would_confuse_is_refused(kept: Collections, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadArgument):
        kept.add(tmp_path / "n", name)
    assert not kept.path.exists()


@pytest.mark.parametrize("name", ["my notes", "v1.5", "Мои заметки", "-", "folders"])
def test_odd_names_survive_the_file(kept: Collections, tmp_path: Path, name: str) -> None:
    kept.add(tmp_path / "n", name)
    assert [one.name for one in Collections(kept.path)] == [name]


def test_one_collection_may_hold_many_folders_each_once(kept: Collections, tmp_path: Path) -> None:
    kept.add(tmp_path / "a" / "inner", "inner")
    kept.add(tmp_path / "a", "all")
    for _ in range(2):
        kept.add(tmp_path / "b", "all")
        kept.add(tmp_path / "a" / "inner", "all")
    assert kept["all"].folders == tuple(str(tmp_path / name) for name in ("a", "b", "a/inner"))


def test_a_file_belongs_to_the_nearest_folder_above_it(kept: Collections, tmp_path: Path) -> None:
    kept.add(tmp_path / "a", "outer")
    kept.add(tmp_path / "a" / "b", "inner")
    found = [kept.holding(tmp_path / place) for place in ("a/x.md", "a/b/x.md", "a/b", "ab/x.md", "x.md")]
    assert [one.name if one else None for one in found] == ["outer", "inner", "inner", None, None]


def test_a_home_in_the_file_is_expanded(kept: Collections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(kept.path, '[g]\nfolders = ["~/guides"]\n')
    one = Collections(kept.path).holding(tmp_path / "guides" / "x.md")
    assert one is not None
    assert one.name == "g"


def test_the_persons_comments_stay(kept: Collections, tmp_path: Path) -> None:
    write(kept.path, '# my folders\n[guides] # good ones\nfolders = ["/g"] # on the disk\n\n[old]\nfolders = ["/o"]\n')
    again = Collections(kept.path)
    again.exclude("guides", ["*.bak"])
    again.add(tmp_path / "more", "guides")
    again.remove("old")
    text = kept.path.read_text("utf-8")
    assert "# my folders" in text
    assert "[guides] # good ones" in text
    assert "[old]" not in text
    assert Collections(kept.path)["guides"].exclude == ("*.bak",)
    assert [p.name for p in kept.path.parent.iterdir()] == ["collections.toml"]  # no temporary file left


def test_an_unknown_name_hints_the_nearest(kept: Collections, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="no collection") as empty:
        kept["guides"]
    assert "atelier ingest" in empty.value.hint
    kept.add(tmp_path / "guides")
    with pytest.raises(BadArgument) as wrong:
        kept.remove("guide")
    assert 'Did you mean "guides"?' in one_line(wrong.value)


@pytest.mark.parametrize(
    "text",
    ["[guides", "guides = 3", "[g]\nfolders = '~/x'", "[g]\nfolders = [1]", "[g]\nfolder = ['x']", "[g.h]\nfolders=[]"],
)
def test_a_broken_file_is_named(kept: Collections, text: str) -> None:
    write(kept.path, text)
    with pytest.raises(BadSetting, match=r"collections\.toml"):
        Collections(kept.path)
    assert kept.path.read_text("utf-8") == text


def test_bytes_that_are_no_text_are_named(kept: Collections) -> None:
    kept.path.parent.mkdir()
    kept.path.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(BadSetting, match=r"collections\.toml"):
        Collections(kept.path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "config", "a file where the folder should be")
    with pytest.raises(OSError, match="config") as error:
        Collections(tmp_path / "config" / "collections.toml").add(tmp_path)
    assert "config" in one_line(error.value)
    assert "\n" not in one_line(error.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_what_was_kept_stays_when_it_cannot_be_saved(kept: Collections, tmp_path: Path) -> None:
    kept.add(tmp_path / "a")
    before = kept.path.read_text("utf-8")
    kept.path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            kept.add(tmp_path / "b")
    finally:
        kept.path.parent.chmod(0o700)
    assert kept.path.read_text("utf-8") == before


# Through the jobs

OPTICS = "# Lenses\n\nThe aperture of a portrait lens blurs the background behind the face.\n"
BREAD = "# Bread\n\nA sourdough starter ferments the flour overnight in the kitchen.\n"


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    write(tmp_path / "optics" / "lens.md", OPTICS)
    write(tmp_path / "optics" / "drafts" / "draft.md", "# Draft\n\nAn aperture that nobody has measured yet.\n")
    write(tmp_path / "bread" / "sour.md", BREAD)
    shop = workshop(tmp_path / "home")
    do("ingest", shop, paths=[str(tmp_path / "optics"), str(tmp_path / "bread")])
    return shop


def listed(shop: Workshop) -> dict[str, str]:
    return {Path(row.path).name: row.collection for row in shop.library.documents()}


def test_two_collections_and_a_filter_for_each(shop: Workshop) -> None:
    assert listed(shop) == {"lens.md": "optics", "draft.md": "optics", "sour.md": "bread"}
    found = do("search", shop, query="aperture sourdough", filter={"collection": "bread"})
    assert {Path(p["path"]).name for p in found["passages"]} == {"sour.md"}
    typed = do("search", shop, query="aperture sourdough collection:optics")
    assert {Path(p["path"]).name for p in typed["passages"]} == {"lens.md", "draft.md"}
    counts = {one["name"]: one["documents"] for one in do("documents", shop)["collections"]}
    assert counts == {"optics": 2, "bread": 1}


def test_excluding_drops_files_from_the_library_and_back(shop: Workshop, tmp_path: Path) -> None:
    dropped = do("exclude", shop, collection="optics", patterns=["drafts/*"])
    assert states(dropped) == {"lens.md": "unchanged", "draft.md": "removed"}
    assert "draft.md" not in listed(shop)
    assert (tmp_path / "optics" / "drafts" / "draft.md").is_file()
    assert states(do("exclude", shop, collection="optics", patterns=[]))["draft.md"] == "indexed"


def test_forgetting_removes_documents_and_leaves_files(shop: Workshop, tmp_path: Path) -> None:
    gone = do("forget", shop, collection="optics")
    assert (gone["removed"], gone["collection"]["name"]) == (2, "optics")
    assert listed(shop) == {"sour.md": "bread"}
    assert (tmp_path / "optics" / "lens.md").read_text("utf-8") == OPTICS
    assert not [p for p in do("search", shop, query="aperture portrait lens")["passages"] if "optics" in p["path"]]
    do("sync", shop)
    assert listed(shop) == {"sour.md": "bread"}
    assert str(tmp_path / "optics") not in shop.library.roots()
    assert shop.library.health()["problems"] == []


def test_a_folder_named_through_a_link_is_forgotten_wholly(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(write(tmp_path / "real" / "tea.md", "# Tea\n\nGreen tea is steeped.\n").parent)
    do("ingest", shop, paths=[str(tmp_path / "alias")])
    assert listed(shop)["tea.md"] == "alias"
    assert do("forget", shop, collection="alias")["removed"] == 1
    assert not [root for root in shop.library.roots() if "real" in root or "alias" in root]


def test_sync_picks_up_what_is_new_changed_moved_and_deleted(shop: Workshop, tmp_path: Path) -> None:
    optics = tmp_path / "optics"
    write(optics / "new.md", "# Filters\n\nA polariser removes the reflections of a lake.\n")
    write(optics / "lens.md", OPTICS + "\nA tripod steadies the camera at dusk.\n")
    (optics / "drafts" / "draft.md").rename(optics / "moved.md")
    (tmp_path / "bread" / "sour.md").unlink()
    result = do("sync", shop)
    reasons = {Path(d["path"]).name: d["reason"] for d in result["documents"]}
    assert {n: s for n, s in states(result).items() if n != "draft.md"} == {
        "new.md": "indexed",
        "lens.md": "indexed",
        "moved.md": "unchanged",
        "sour.md": "removed",
    }
    assert reasons["moved.md"].startswith("moved from ")
    assert listed(shop) == {"lens.md": "optics", "moved.md": "optics", "new.md": "optics"}
    found = do("search", shop, query="tripod at dusk")["passages"][0]
    assert "tripod steadies" in found["text"]


def test_a_missing_folder_is_a_note_and_its_documents_wait(shop: Workshop, tmp_path: Path) -> None:
    shutil.move(tmp_path / "bread", tmp_path / "unplugged")
    write(tmp_path / "optics" / "new.md", "# New\n\nA monopod is carried more easily than a tripod.\n")
    result = do("sync", shop)
    notes = [e["message"] for e in result["events"] if e["kind"] == "note"]
    assert notes == [f"{tmp_path / 'bread'} of the collection bread is not there"]
    assert states(result)["new.md"] == "indexed"
    assert listed(shop)["sour.md"] == "bread"


def test_a_file_of_a_nested_collection_stays_in_it(shop: Workshop, tmp_path: Path) -> None:
    """Whichever of the two is brought up to date."""
    drafts = tmp_path / "optics" / "drafts"
    do("ingest", shop, paths=[str(drafts)], collection="drafts")
    assert listed(shop) == {"lens.md": "optics", "draft.md": "drafts", "sour.md": "bread"}
    do("ingest", shop, paths=[str(tmp_path / "optics")])
    assert listed(shop)["draft.md"] == "drafts"
    do("exclude", shop, collection="optics", patterns=["*.bak"])
    assert listed(shop)["draft.md"] == "drafts"
    do("exclude", shop, collection="drafts", patterns=["draft*"])
    assert listed(shop)["draft.md"] == "optics"  # which excludes no such thing
    do("forget", shop, collection="drafts")
    do("sync", shop)
    assert listed(shop)["draft.md"] == "optics"


def test_one_changed_file_is_read_without_touching_other_collections(shop: Workshop, tmp_path: Path) -> None:
    write(tmp_path / "bread" / "rye.md", "# Rye\n\nRye bread keeps for a week in the bread box.\n")
    write(tmp_path / "optics" / "new.md", "# New\n\nA bellows stretches far for close pictures.\n")
    result = do("sync", shop, only=[str(tmp_path / "bread" / "rye.md")])
    assert set(states(result)) == {"sour.md", "rye.md"}
