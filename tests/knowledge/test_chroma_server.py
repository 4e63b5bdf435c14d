"""The vectors of libraries on a Chroma server, with a server of our own that is ended by its process id."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import chromadb
import pytest
from chromadb.config import Settings
from knowledge_samples import Put, chunks, document

from knowledge.embedders import Embedder
from knowledge.hashed import HashedWords
from knowledge.library import Library
from knowledge.vectors import FOLDER_NAME

PATIENCE = 30.0  # seconds for a server to start


class Server:
    """A Chroma server over a folder, on a port that stays its own while it is stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.program = Path(sys.executable).parent / "chroma"
        if not self.program.is_file():
            pytest.skip("chromadb brought no program named chroma")
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self.program, "run", "--host", "127.0.0.1", "--port", str(self.port), "--path", self.folder]
        quiet = {
            **os.environ,
            "ANONYMIZED_TELEMETRY": "False",
            "CHROMA_TELEMETRY": "False",
            "OTEL_SDK_DISABLED": "true",
        }
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.client().heartbeat()
                return
            except Exception:  # not up yet: the client raises what its HTTP library raises
                time.sleep(0.1)
        self.stop()
        pytest.skip(f"no Chroma server answered on this machine within {PATIENCE:.0f} s")

    def client(self) -> chromadb.api.ClientAPI:
        return chromadb.HttpClient("127.0.0.1", self.port, settings=Settings(anonymized_telemetry=False))

    def held(self) -> dict[str, int]:
        """Name of each collection -> its vectors."""
        return {one.name: one.count() for one in self.client().list_collections()}

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("chroma") / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running: Server) -> Server:
    """The server, up and empty."""
    if running.process is None:
        running.start()
    for name in running.held():
        running.client().delete_collection(name)
    return running


def opened(folder: Path, server: Server, embedder: Embedder | None = None, *, scheme: str = "") -> Library:
    return Library(folder, embedder=embedder or HashedWords(), writable=True, server=scheme + server.address)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_vectors_are_stored_and_searched_on_the_server(tmp_path: Path, server: Server, put: Put, scheme: str) -> None:
    with opened(tmp_path, server, scheme=scheme) as library:
        put(library, "/a.md", "tungsten lamps", "beetroot soup")
        found = library.search("soup")
        assert (found[0].text, found[0].signals["index"]) == ("beetroot soup", "chroma")
        health = library.health()
        assert (health["index"], health["index_vectors"], health["problems"]) == ("chroma", 2, [])
        put(library, "/a.md", "tungsten lamps")
        put(library, "/b.md", "glaciers")
        assert library.search("glaciers")[0].path == "/b.md"
        assert "beetroot soup" not in {passage.text for passage in library.search("soup")}
        assert library.health()["index_vectors"] == 2
    assert not (tmp_path / FOLDER_NAME).exists()
    assert list(server.held().values()) == [2]


def test_a_library_opened_again_finds_its_vectors_there(tmp_path: Path, server: Server, put: Put) -> None:
    with opened(tmp_path, server) as library:
        put(library, "/a.md", "tungsten lamps")
    with Library(tmp_path, server=server.address) as reader:
        assert reader.search("lamps")[0].signals["index"] == "chroma"


def test_libraries_of_different_folders_do_not_mix(tmp_path: Path, server: Server, put: Put) -> None:
    with opened(tmp_path / "one", server) as one, opened(tmp_path / "two", server, HashedWords(64)) as two:
        put(one, "/one.md", "tungsten lamps")
        put(two, "/two.md", "tungsten wire", "glaciers")
        for library, paths, count in ((one, {"/one.md"}, 1), (two, {"/two.md"}, 2)):
            found = library.search("tungsten")
            assert {passage.path for passage in found} == paths
            assert found[0].signals["index"] == "chroma"
            assert library.health()["index_vectors"] == count
        assert sorted(server.held().values()) == [1, 2]
        one.rebuild()
        assert two.search("glaciers")[0].signals["index"] == "chroma"
        two.close()
        assert one.search("lamps")[0].signals["index"] == "chroma"
        put(one, "/more.md", "candles")
        assert one.health()["index_vectors"] == 2


def test_one_folder_is_one_library_however_it_is_named(
    tmp_path: Path, server: Server, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Path("library"), server) as library:
        put(library, "/a.md", "tungsten lamps")
    with opened(tmp_path / "library", server) as library:
        assert library.search("lamps")[0].signals["index"] == "chroma"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with opened(Path("library"), server) as other:
        put(other, "/b.md", "glaciers", "candles")
    assert sorted(server.held().values()) == [1, 2]


def test_vectors_of_another_embedder_are_replaced_by_rebuild(tmp_path: Path, server: Server, put: Put) -> None:
    with opened(tmp_path, server, HashedWords(64)) as library:
        put(library, "/a.md", "tungsten lamps")
    with opened(tmp_path, server, HashedWords(32)) as library:
        library.rebuild()
        assert library.search("lamps")[0].signals["index"] == "chroma"
    assert list(server.held().values()) == [1]


def test_a_collection_that_was_deleted_there_is_made_again(tmp_path: Path, server: Server, put: Put) -> None:
    with opened(tmp_path, server) as library:
        put(library, "/a.md", "tungsten lamps")
    (name,) = server.held()
    server.client().delete_collection(name)
    with opened(tmp_path, server) as library:
        assert library.search("lamps")[0].signals["index"] == "exact"
        put(library, "/b.md", "glaciers")
        assert library.health()["index_vectors"] == 2
        assert library.search("lamps")[0].signals["index"] == "chroma"


def test_without_its_server_a_library_answers_by_exact_search(tmp_path: Path, server: Server, put: Put) -> None:
    folder = tmp_path / "library"
    with opened(folder, server) as asked, opened(folder, server) as told, opened(folder, server) as looked:
        put(told, "/a.md", "tungsten lamps", "beetroot soup")
        for library in (asked, looked):
            assert library.search("soup")[0].signals["index"] == "chroma"
        server.stop()
        # Each of them meets the loss first: by looking after itself, by a question, by a write.
        health = looked.health()
        assert (health["index"], health["index_vectors"]) == ("exact", None)
        assert [problem for problem in health["problems"] if "Exact search is used: Chroma" in problem]
        found = asked.search("soup")[0]
        assert (found.text, found.signals["index"]) == ("beetroot soup", "exact")
        assert [problem for problem in asked.health()["problems"] if "Chroma" in problem]
        put(told, "/b.md", "glaciers")
        assert told.search("glaciers")[0].path == "/b.md"
        assert told.health()["index"] == "exact"
        with opened(folder, server) as late:
            assert late.search("soup")[0].text == "beetroot soup"
            assert [problem for problem in late.health()["problems"] if "Chroma cannot be opened" in problem]
            put(late, "/c.md", "candles")
            server.start()
            put(late, "/d.md", "rivers")
            assert late.search("rivers")[0].signals["index"] == "chroma"
            health = late.health()
            assert (health["index"], health["index_vectors"], health["problems"]) == ("chroma", 5, [])


def test_a_server_lost_between_opening_and_the_first_write(tmp_path: Path, server: Server) -> None:
    with opened(tmp_path, server) as library:
        library.put(document("/a.md"), chunks("tungsten lamps"))
    with opened(tmp_path, server) as library:
        assert library.health()["index"] == "chroma"
        server.stop()
        library.put(document("/b.md"), chunks("glaciers"))
        assert library.pending() == 0
        assert library.search("glaciers")[0].path == "/b.md"
        assert library.health()["waiting"] == 1


def test_a_server_that_starts_later_gets_the_vectors_at_the_next_write(
    tmp_path: Path, server: Server, put: Put
) -> None:
    server.stop()
    with opened(tmp_path, server) as library:
        put(library, "/a.md", "tungsten lamps")
        assert library.health()["waiting"] == 1
        server.start()
        put(library, "/b.md", "glaciers")
        assert library.search("lamps")[0].signals["index"] == "chroma"
        assert library.health()["index_vectors"] == 2


def test_an_address_where_nothing_listens(tmp_path: Path, put: Put) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Library(tmp_path, embedder=HashedWords(), writable=True, server=f"127.0.0.1:{port}") as library:
        put(library, "/a.md", "tungsten lamps")
        assert library.search("lamps")[0].signals["index"] == "exact"
        (problem,) = library.health()["problems"]
        assert "Chroma cannot be opened" in problem
