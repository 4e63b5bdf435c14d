from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from ingest.parsed import UnreadableError
from ingest.readers import zipped
from ingest.readers.zipped import open_zip, read_member


def made(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refused(path: Path, name: str = "a.xml") -> str:
    with pytest.raises(UnreadableError) as caught, open_zip(path) as archive:
        read_member(archive, name)
    assert "\n" not in caught.value.message
    assert str(path) not in caught.value.message
    return caught.value.message


def test_members_come_back_as_they_were(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"a.xml": "<a>Привет</a>".encode(), "глава 1.xml": b"two"})
    with open_zip(path) as archive:
        assert read_member(archive, "a.xml").decode() == "<a>Привет</a>"
        assert read_member(archive, "глава 1.xml", 3) == b"two"


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    assert refused(made(tmp_path / "a.zip", {"a.xml": bytes(40 << 20)})) == zipped.TOO_LARGE
    many = {f"{number}.xml": b"" for number in range(zipped.MEMBERS + 1)}
    assert "more than 5000 files" in refused(made(tmp_path / "b.zip", many, zipfile.ZIP_STORED))


def test_all_reads_of_an_archive_share_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "UNPACKED", 1000)
    with open_zip(made(tmp_path / "a.zip", {"a": b"x" * 600, "b": b"y" * 600})) as archive:
        assert len(read_member(archive, "a")) == 600
        with pytest.raises(UnreadableError, match="too large when unpacked"):
            read_member(archive, "b")


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"a.xml": bytes(3 << 20)})
    data = bytearray(path.read_bytes())
    directory = data.rfind(b"PK\x01\x02")
    data[22:26] = data[directory + 24 : directory + 28] = struct.pack("<L", 10)
    path.write_bytes(data)
    assert "corrupt" in refused(path)


def test_encrypted_archives_are_named_so(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"a.xml": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refused(path) == "protected by a password"


def test_damage_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", {"a.xml": b"some text in it " * 50, "b.xml": b"more"}, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    assert "missing" in refused(path, "c.xml")
    path.write_bytes(whole.replace(b"some text", b"same text", 1))
    assert "cannot be unpacked" in refused(path)
    for length in (1, 3, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "corrupt" in refused(path)
    path.write_bytes(b"just words, not an archive")
    assert "corrupt" in refused(path)


def test_packings_without_a_bound_are_not_unpacked(tmp_path: Path) -> None:
    assert "not supported" in refused(made(tmp_path / "a.zip", {"a.xml": b"text"}, zipfile.ZIP_LZMA))


def test_an_empty_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    with pytest.raises(UnreadableError) as caught:
        open_zip(tmp_path / "a.zip")
    assert caught.value.status == "skipped"
    with pytest.raises(UnreadableError, match="gone"):
        open_zip(tmp_path / "none.zip")
