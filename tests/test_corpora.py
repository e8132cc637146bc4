"""Facts about `charlm.corpora`. No network: mirrors are a server on 127.0.0.1 or a closed port."""

import hashlib
import io
import lzma
import os
import socket
import tarfile
import threading
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm import corpora
from charlm.corpora import Corpus, list_corpora, load_corpus, registry
from charlm.support import download

REAL_DATA = os.environ.get("CHARLM_DATA")
TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
NAMES = ["shakespeare", "shakespeare_complete", "paul_graham", "wikipedia", "linux", "baby_names", "war_and_peace"]
NAMES += ["algebraic_geometry"]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def entry_of(text=TEXT, *sources, **more):
    """A registry entry whose prepared text is `text`."""
    return {
        "file": "tiny.txt",
        "bytes": len(text),
        "sha256": sha256(text),
        "characters": len(text),
        "distinct": len(set(text)),
        "licence": "public domain",
        "sources": list(sources),
        **more,
    }


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files, links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target, kind in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(target)
            archive.addfile(member)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Every test has an empty cache of its own, no data folder, no stand-ins and an online machine."""
    for variable in ("CHARLM_DATA", "CHARLM_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpora, "STANDINS", tmp_path / "standins")


@pytest.fixture
def register(monkeypatch):
    """Make `tiny` the one registered corpus."""
    return lambda entry: monkeypatch.setattr(corpora, "registry", lambda: {"tiny": entry})


class Mirror(ThreadingHTTPServer):
    """Serves `files` by path; each answer is bytes or a status code, and a list gives one after another."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.files, self.asked = {}, []

    def source(self, path, answer, format="text", **more):
        self.files["/" + path] = answer
        return {"url": f"http://127.0.0.1:{self.server_port}/{path}", "format": format, **more}


class MirrorHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.files.get(self.path, 404)
        answer = answer.pop(0) if isinstance(answer, list) else answer
        status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror():
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def unreachable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"url": f"http://127.0.0.1:{port}/tiny.txt", "format": "text"}


@pytest.fixture
def no_network(monkeypatch):
    def connect(*arguments):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


@pytest.fixture
def data_folder(monkeypatch, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("CHARLM_DATA", str(folder))
    return folder


@pytest.fixture
def standin(tmp_path):
    folder = tmp_path / "standins"
    folder.mkdir()
    (folder / "tiny.txt.xz").write_bytes(lzma.compress(b"Second Citizen:\nHear, hear.\n"))


def cached(tmp_path):
    folder = tmp_path / "cache"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def put(folder, name, data):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


def test_all_seven_corpora_are_registered():
    assert list(registry()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_complete(name):
    entry = registry()[name]
    for text in [entry, *entry.get("prefixes", [])]:
        assert len(text["sha256"]) == 64 and int(text["sha256"], 16)
        assert text["bytes"] >= text["characters"] >= text["distinct"] > 1
        assert os.path.basename(text["file"]) == text["file"]
    assert entry["title"] and entry["description"] and entry["licence"] and entry["credit"]
    for source in entry["sources"]:
        assert source["url"].startswith("https://")
        needs = {"text": set(), "zip": {"members"}, "tar": {"patterns"}}[source["format"]]
        assert set(source) == {"url", "format"} | needs


def test_the_registry_beside_the_package_gives_way_to_the_one_inside(monkeypatch, tmp_path):
    monkeypatch.setattr(corpora, "__file__", str(tmp_path / "charlm" / "corpora.py"))
    put(tmp_path, "datasets.yaml", b"checkout: {}")
    assert list(registry()) == ["checkout"]
    put(tmp_path / "charlm", "datasets.yaml", b"installed: {}")
    assert list(registry()) == ["installed"]


@pytest.mark.skipif(not REAL_DATA, reason="needs the real texts: set CHARLM_DATA")
@pytest.mark.parametrize("name", NAMES)
def test_every_real_text_is_as_registered(name, monkeypatch):
    entry = registry()[name]
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    monkeypatch.setenv("CHARLM_DATA", REAL_DATA)
    texts = [entry, *entry.get("prefixes", [])]
    found = [text for text in texts if (Path(REAL_DATA) / text["file"]).exists()]
    if not found:
        pytest.skip(f"{name} is not in CHARLM_DATA")
    for text in found:
        corpus = load_corpus(name, limit=None if text is entry else text["bytes"])
        assert (len(corpus.text), len(set(corpus.text))) == (text["characters"], text["distinct"])
        assert (corpus.sha256, Path(corpus.origin).name) == (text["sha256"], text["file"])


@pytest.mark.skipif(not REAL_DATA, reason="needs the real texts: set CHARLM_DATA")
def test_the_real_wikipedia_prefixes_have_the_registered_characters_as_utf8(monkeypatch):
    monkeypatch.setenv("CHARLM_DATA", REAL_DATA)
    for prefix in registry()["wikipedia"]["prefixes"]:
        if (Path(REAL_DATA) / prefix["file"]).exists():
            text = load_corpus("wikipedia", limit=prefix["utf8_characters"], as_bytes=False).text
            assert (len(text), len(set(text))) == (prefix["utf8_characters"], prefix["utf8_distinct"])


def test_repr_is_one_short_line_without_the_text_or_a_path(tmp_path):
    corpus = load_corpus(put(tmp_path, "mine.txt", TEXT))
    assert repr(corpus) == f"Corpus('mine', 61 characters, sha256 {sha256(TEXT)[:8]})"
    assert repr(Corpus("x", "ab", "12345678ff", "stand-in", "", is_standin=True)).endswith(", stand-in)")


def test_a_corpus_cannot_be_changed(tmp_path):
    with pytest.raises(AttributeError):
        load_corpus(put(tmp_path, "mine.txt", TEXT)).text = "other"


def test_a_table_row_says_size_place_and_licence(register, mirror, data_folder, capsys):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    places = []
    for prepare in (lambda: None, lambda: load_corpus("tiny"), lambda: put(data_folder, "tiny.txt", TEXT)):
        prepare()
        capsys.readouterr()
        list_corpora()
        row = capsys.readouterr().out.splitlines()[1]
        places.append(row.split()[3])
    assert places == ["download", "cache", "CHARLM_DATA"]
    assert row.split() == ["tiny", "61", str(len(set(TEXT))), "CHARLM_DATA", "public", "domain"]


def test_the_table_shows_stand_ins_and_gaps_when_offline(register, monkeypatch, standin, capsys):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    monkeypatch.setattr(corpora, "registry", lambda: {"tiny": entry_of(), "other": entry_of()})
    list_corpora()
    _, tiny, other = capsys.readouterr().out.splitlines()
    assert "stand-in" in tiny and "not here, offline" in other


def test_the_table_names_the_longest_prefix(register, data_folder, capsys):
    register(wikipedia_entry())
    put(data_folder, "first4", WIKIPEDIA[:4])
    put(data_folder, "first8", WIKIPEDIA[:8])
    list_corpora()
    assert "CHARLM_DATA (first 8)" in capsys.readouterr().out


def test_any_text_file_loads_by_its_path(tmp_path):
    path = put(tmp_path, "mine.txt", TEXT)
    for name in (path, str(path)):
        corpus = load_corpus(name)
        assert corpus == Corpus("mine", TEXT.decode(), sha256(TEXT), str(path), "not stated")


def test_a_file_without_a_suffix_loads_by_its_name(tmp_path, monkeypatch):
    put(tmp_path, "README", TEXT)
    monkeypatch.chdir(tmp_path)
    assert load_corpus("README").text == TEXT.decode()


def test_a_byte_order_mark_is_dropped_and_line_ends_become_lf(tmp_path):
    path = put(tmp_path, "windows.txt", b"\xef\xbb\xbfone\r\ntwo\rthree\n\r\n")
    corpus = load_corpus(path)
    assert corpus.text == "one\ntwo\nthree\n\n"
    assert corpus.sha256 == sha256(b"one\ntwo\nthree\n\n")


def test_byte_mode_changes_no_byte(tmp_path):
    data = b"\xef\xbb\xbfone\r\n" + bytes(range(256))
    corpus = load_corpus(put(tmp_path, "data.bin", data), as_bytes=True)
    assert corpus.text.encode("latin-1") == data
    assert corpus.sha256 == sha256(data) and corpus.as_bytes


def test_show_turns_bytes_into_readable_text(tmp_path):
    path = put(tmp_path, "paris.txt", "à Paris".encode())
    as_bytes, as_text = load_corpus(path, as_bytes=True), load_corpus(path)
    assert as_bytes.show(as_bytes.text) == as_text.show(as_text.text) == "à Paris"
    assert as_bytes.show(as_bytes.text[1:]) == "\ufffd Paris"


def test_text_that_is_not_utf8_names_the_offset_the_byte_and_the_way_out(tmp_path):
    path = put(tmp_path, "latin.txt", b"x" * 5000 + "é".encode("latin-1") + b"tude")
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: .*offset 5,000 is 0xe9.*as_bytes=True"):
        load_corpus(path)
    assert len(load_corpus(path, as_bytes=True).text) == 5005


def test_the_offset_counts_the_byte_order_mark_and_carriage_returns(tmp_path):
    path = put(tmp_path, "mixed.txt", b"\xef\xbb\xbfa\r\n\xff")
    with pytest.raises(ValueError, match="offset 6 is 0xff"):
        load_corpus(path)


def test_a_bad_byte_beyond_the_limit_does_no_harm(tmp_path):
    path = put(tmp_path, "late.txt", b"abcd\xff")
    assert load_corpus(path, limit=4).text == "abcd"
    with pytest.raises(ValueError, match="offset 4"):
        load_corpus(path, limit=5)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_text_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"void\.txt is empty"):
        load_corpus(put(tmp_path, "void.txt", data))


def test_a_missing_file_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("gone.txt", os.path.join("texts", "gone")):
        with pytest.raises(FileNotFoundError) as error:
            load_corpus(name)
        assert str(tmp_path / name) in str(error.value) and "Check the path" in str(error.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder. Give one text file"):
        load_corpus(tmp_path)


@pytest.mark.parametrize(
    "typed, meant", [("shakespear", "shakespeare"), ("LINUX", "linux"), ("war-and-peace", "war_and_peace")]
)
def test_an_unknown_corpus_suggests_the_nearest_and_lists_all(typed, meant):
    with pytest.raises(ValueError) as error:
        load_corpus(typed)
    assert f"Did you mean the corpus {meant!r}?" in str(error.value)
    assert ", ".join(NAMES) in str(error.value)


def test_an_unknown_corpus_like_no_other_gets_no_suggestion():
    with pytest.raises(ValueError, match="no corpus or file 'qqq'. The registered corpora are"):
        load_corpus("qqq")


def test_a_url_loads_and_is_not_kept(mirror, tmp_path):
    url = mirror.source("texts/mine.txt", TEXT)["url"]
    corpus = load_corpus(url)
    assert corpus == Corpus("mine", TEXT.decode(), sha256(TEXT), url, "not stated")
    assert cached(tmp_path) == []


def test_a_url_that_does_not_answer_is_an_error(mirror, unreachable):
    for url in (mirror.source("gone.txt", 404)["url"], unreachable["url"]):
        with pytest.raises(FileNotFoundError, match=r"cannot be fetched.*Check the address"):
            load_corpus(url)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/x.txt"])
def test_only_http_and_https_are_fetched(url, no_network):
    with pytest.raises(ValueError, match="only http and https"):
        load_corpus(url)


def test_offline_refuses_a_url_without_touching_the_network(mirror, monkeypatch, no_network):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="CHARLM_OFFLINE is set"):
        load_corpus(mirror.source("mine.txt", TEXT)["url"])


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_below_one_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match=f"limit is {limit}, but at least 1"):
        load_corpus(put(tmp_path, "mine.txt", TEXT), limit=limit)


def test_a_limit_beyond_the_end_reads_the_whole(tmp_path):
    assert load_corpus(put(tmp_path, "mine.txt", TEXT), limit=10**9).text == TEXT.decode()


TEXTS = st.text(st.sampled_from("ab\r\né€𝄞\ufeff"), min_size=1, max_size=30)


def plain(text):
    """What Python's own universal newlines and utf-8-sig make of a text."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8-sig", newline=None).read()


@given(text=TEXTS, limit=st.integers(1, 40), mark=st.booleans())
def test_a_limit_in_characters_gives_the_beginning_of_the_whole(tmp_path_factory, text, limit, mark):
    data = ("\ufeff" if mark else "") + text
    path = put(tmp_path_factory.getbasetemp(), "limited.txt", data.encode())
    whole = plain(data)
    if whole:
        corpus = load_corpus(path, limit=limit)
        assert corpus.text == whole[:limit]
        assert corpus.sha256 == sha256(whole[:limit].encode())
        assert load_corpus(path).text == whole


@given(data=st.binary(min_size=1, max_size=50), limit=st.integers(1, 60))
def test_a_limit_in_bytes_gives_the_first_bytes(tmp_path_factory, data, limit):
    path = put(tmp_path_factory.getbasetemp(), "bytes.bin", data)
    corpus = load_corpus(path, limit=limit, as_bytes=True)
    assert corpus.text.encode("latin-1") == data[:limit]
    assert corpus.sha256 == sha256(data[:limit])


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("as_bytes", [False, True])
def test_with_a_limit_memory_does_not_grow_with_a_registered_file(register, data_folder, as_bytes):
    text = b"word " * 2_000_000
    register(entry_of(text))
    put(data_folder, "tiny.txt", text)
    assert peak_memory(lambda: load_corpus("tiny", limit=1000, as_bytes=as_bytes)) < len(text) / 10


def test_with_a_limit_memory_does_not_grow_with_a_zip(register, mirror):
    text = b"word " * 2_000_000
    register(entry_of(text, mirror.source("tiny.zip", zipped({"enwik8": text}), "zip", members=["enwik8"])))
    assert peak_memory(lambda: load_corpus("tiny", limit=1000)) < len(text) / 10


WIKIPEDIA = "été à Lyon.".encode()


def wikipedia_entry(*sources):
    """Byte-level and with two known prefixes, of 4 and 8 bytes."""
    prefixes = [
        {
            "file": f"first{size}",
            "bytes": size,
            "sha256": sha256(WIKIPEDIA[:size]),
            "characters": size,
            "utf8_characters": len(WIKIPEDIA[:size].decode(errors="ignore")),
        }
        for size in (8, 4)
    ]
    return entry_of(WIKIPEDIA, *sources, as_bytes=True, prefixes=prefixes)


def test_a_byte_corpus_is_read_as_bytes_unless_told_otherwise(register, data_folder):
    register(wikipedia_entry())
    put(data_folder, "tiny.txt", WIKIPEDIA)
    assert load_corpus("tiny").text == WIKIPEDIA.decode("latin-1")
    assert load_corpus("tiny", as_bytes=False).text == WIKIPEDIA.decode()


@pytest.mark.parametrize(
    "limit, file",
    [(1, "first4"), (4, "first4"), (5, "first8"), (8, "first8"), (9, "tiny.txt"), (99, "tiny.txt"), (None, "tiny.txt")],
)
def test_the_smallest_file_that_covers_the_limit_is_read(register, data_folder, limit, file):
    register(wikipedia_entry())
    for name, size in (("first4", 4), ("first8", 8), ("tiny.txt", None)):
        put(data_folder, name, WIKIPEDIA[:size])
    corpus = load_corpus("tiny", limit=limit)
    assert Path(corpus.origin).name == file
    assert corpus.text.encode("latin-1") == WIKIPEDIA[:limit]


def test_characters_not_bytes_decide_which_prefix_covers_a_limit_in_characters(register, data_folder):
    register(wikipedia_entry())
    put(data_folder, "first4", WIKIPEDIA[:4])  # "ét" and half of the next letter
    put(data_folder, "first8", WIKIPEDIA[:8])
    corpus = load_corpus("tiny", limit=3, as_bytes=False)
    assert (corpus.text, Path(corpus.origin).name) == ("été", "first8")


def test_a_prefix_with_a_wrong_checksum_is_refused(register, data_folder):
    register(wikipedia_entry())
    put(data_folder, "first4", b"oops")
    with pytest.raises(ValueError, match="wrong checksum"):
        load_corpus("tiny", limit=2)


@pytest.mark.parametrize("limit", [None, 9])
def test_prefixes_alone_give_an_error_with_the_possible_limits(
    register, data_folder, monkeypatch, standin, no_network, limit
):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    register(wikipedia_entry())
    put(data_folder, "first8", WIKIPEDIA[:8])
    with pytest.raises(FileNotFoundError, match="first8 has its beginning, for a limit of at most 8 bytes"):
        load_corpus("tiny", limit=limit)


def test_the_data_folder_wins_over_cache_and_network(register, mirror, data_folder, tmp_path, no_network):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    put(tmp_path / "cache", "tiny.txt", TEXT)
    path = put(data_folder, "tiny.txt", TEXT)
    assert load_corpus("tiny") == Corpus("tiny", TEXT.decode(), sha256(TEXT), str(path), "public domain")


def test_the_data_folder_is_used_offline(register, data_folder, monkeypatch, no_network):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    register(entry_of())
    put(data_folder, "tiny.txt", TEXT)
    assert not load_corpus("tiny").is_standin


def test_a_data_folder_that_does_not_exist_is_an_error(register, monkeypatch, tmp_path):
    register(entry_of())
    monkeypatch.setenv("CHARLM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="CHARLM_DATA is .*nowhere"):
        load_corpus("tiny")


@pytest.mark.parametrize("data", [TEXT[:-1], TEXT[:-1] + b"!"])
def test_a_wrong_text_in_the_data_folder_is_an_error_and_stays(register, mirror, data_folder, data):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    path = put(data_folder, "tiny.txt", data)
    with pytest.raises(ValueError) as error:
        load_corpus("tiny")
    for part in (str(path), sha256(TEXT), sha256(data), f"{len(TEXT)} bytes", f"{len(data)} bytes"):
        assert part in str(error.value)
    assert path.read_bytes() == data and mirror.asked == []


def test_a_download_is_kept_and_not_fetched_again(register, mirror, tmp_path):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    first, second = load_corpus("tiny"), load_corpus("tiny")
    assert first == second and first.text == TEXT.decode()
    assert mirror.asked == ["/tiny.txt"] and cached(tmp_path) == ["tiny.txt"]


def test_a_download_shows_its_progress(register, mirror, capsys):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    load_corpus("tiny")
    assert "100%" in capsys.readouterr().err


def test_a_damaged_cache_is_an_error_and_is_emptied(register, mirror, tmp_path):
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    put(tmp_path / "cache", "tiny.txt", TEXT[:-1] + b"!")
    with pytest.raises(ValueError, match="removed from the cache: load it again"):
        load_corpus("tiny")
    assert cached(tmp_path) == []
    assert load_corpus("tiny").text == TEXT.decode()


def test_a_wrong_checksum_names_both_and_leaves_nothing_in_the_cache(register, mirror, tmp_path, standin):
    register(entry_of(TEXT, mirror.source("tiny.txt", b"<html>Log in to this wireless network</html>")))
    with pytest.raises(ValueError) as error:
        load_corpus("tiny")
    assert sha256(TEXT) in str(error.value) and mirror.source("tiny.txt", b"")["url"] in str(error.value)
    assert sha256(b"<html>Log in to this wireless network</html>") in str(error.value)
    assert cached(tmp_path) == []


def test_the_next_mirror_is_tried_when_one_fails(register, mirror, unreachable):
    wrong, gone = mirror.source("wrong.txt", b"other"), mirror.source("gone.txt", 404)
    register(entry_of(TEXT, unreachable, wrong, gone, mirror.source("right.txt", TEXT)))
    assert load_corpus("tiny").text == TEXT.decode()
    assert mirror.asked == ["/wrong.txt", "/gone.txt", "/right.txt"]


def test_a_source_that_fails_once_is_tried_again(register, mirror):
    register(entry_of(TEXT, mirror.source("tiny.txt", [503, TEXT])))
    assert load_corpus("tiny").text == TEXT.decode()
    assert mirror.asked == ["/tiny.txt", "/tiny.txt"]


def test_a_source_with_another_text_is_not_tried_again(register, mirror):
    register(entry_of(TEXT, mirror.source("tiny.txt", b"other")))
    with pytest.raises(ValueError):
        load_corpus("tiny")
    assert mirror.asked == ["/tiny.txt"]


def test_when_all_mirrors_fail_every_reason_is_told(register, mirror, unreachable):
    wrong, gone = mirror.source("wrong.txt", b"other"), mirror.source("gone.txt", 404)
    register(entry_of(TEXT, wrong, gone, unreachable))
    with pytest.raises(ValueError) as error:
        load_corpus("tiny")
    lines = str(error.value).splitlines()
    for source, reason in ((wrong, "wrong checksum"), (gone, "404"), (unreachable, "refused")):
        assert any(source["url"] in line and reason in line for line in lines)


def test_a_source_of_another_scheme_is_refused(register, tmp_path):
    path = put(tmp_path, "secret.txt", TEXT)
    register(entry_of(TEXT, {"url": path.as_uri(), "format": "text"}))
    with pytest.raises(ValueError, match="only http and https"):
        load_corpus("tiny")


def test_an_endless_download_is_cut_off(register, mirror, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "SLACK", 100)
    register(entry_of(TEXT, mirror.source("tiny.txt", b"x" * 10_000)))
    with pytest.raises(ValueError, match=f"larger than the {len(TEXT) + 100} bytes allowed"):
        load_corpus("tiny")
    assert cached(tmp_path) == []


def test_crlf_becomes_lf_before_the_check_where_registered(register, mirror):
    windows = TEXT.replace(b"\n", b"\r\n")
    register(entry_of(TEXT, mirror.source("tiny.txt", windows), newlines="lf"))
    assert load_corpus("tiny").sha256 == sha256(TEXT)


def test_a_cache_that_cannot_be_written_names_the_variable(register, mirror, monkeypatch):
    def refuse(*arguments, **keywords):
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "makedirs", refuse)
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    with pytest.raises(PermissionError, match="CHARLM_CACHE"):
        load_corpus("tiny")


@pytest.mark.parametrize("step, error", [("fsync", KeyboardInterrupt), ("replace", OSError)])
def test_an_interrupted_write_leaves_no_file(register, mirror, monkeypatch, tmp_path, step, error):
    def interrupt(*arguments):
        raise error("here")

    monkeypatch.setattr(os, step, interrupt)
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    with pytest.raises(error):
        load_corpus("tiny")
    assert cached(tmp_path) == []


def test_the_text_appears_in_the_cache_whole_by_one_rename(register, mirror, monkeypatch, tmp_path):
    seen, replace = [], os.replace

    def watch(source, target):
        seen.append((Path(source).read_bytes(), Path(source).parent == Path(target).parent, target.exists()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    load_corpus("tiny")
    assert seen == [(TEXT, True, False)]


def test_zip_members_are_joined_in_the_order_registered(register, mirror):
    archive = zipped({"names/README": b"no", "names/female.txt": b"Ada\n", "names/male.txt": b"Tom\n"})
    members = ["names/male.txt", "names/female.txt"]
    register(entry_of(b"Tom\nAda\n", mirror.source("names.zip", archive, "zip", members=members)))
    assert load_corpus("tiny").text == "Tom\nAda\n"


def tar_source(mirror, files, links=()):
    return mirror.source("tiny.tar.gz", tarred(files, links), "tar", patterns=["*.c", "*.h"])


def test_tar_members_that_fit_a_pattern_are_joined_in_byte_order(register, mirror):
    files = {
        "linux/b.c": b"5",
        "linux/a/z.h": b"3",
        "linux/a.c": b"2",
        "linux/Z.c": b"1",
        "linux/a0.c": b"4",
        "linux/README": b"no",
        "linux/a.S": b"no",
    }
    register(entry_of(b"12345", tar_source(mirror, files)))
    assert load_corpus("tiny").text == "12345"


@pytest.mark.parametrize("top", ["linux", "linux-1.0-52923c5"])
def test_the_top_folder_of_a_tar_does_not_matter(register, mirror, top):
    files = {f"{top}/b.h": b"2", f"{top}/a.c": b"1", f"{top}/c/a.c": b"3"}
    register(entry_of(b"123", tar_source(mirror, files)))
    assert load_corpus("tiny").text == "123"


def test_a_tar_cannot_write_outside_the_cache(register, mirror, tmp_path):
    absolute = str(tmp_path / "absolute.c")
    files = {"../../evil.c": b"1", absolute: b"2", "linux/a.c": b"3"}
    register(entry_of(b"".join(data for name, data in sorted(files.items())), tar_source(mirror, files)))
    load_corpus("tiny")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["tiny.txt"]
    assert not (tmp_path.parent / "evil.c").exists() and not Path(tmp_path.anchor, "evil.c").exists()


def test_links_in_a_tar_are_ignored(register, mirror, tmp_path):
    secret = put(tmp_path, "secret.c", b"secret")
    links = [
        ("linux/symbolic.c", secret, tarfile.SYMTYPE),
        ("linux/hard.c", secret, tarfile.LNKTYPE),
        ("linux/device.c", "", tarfile.CHRTYPE),
        ("linux/folder.c", "", tarfile.DIRTYPE),
    ]
    register(entry_of(b"1", tar_source(mirror, {"linux/a.c": b"1"}, links)))
    assert load_corpus("tiny").text == "1"


@pytest.mark.parametrize("format", ["zip", "tar"])
def test_an_archive_that_unpacks_to_too_much_is_refused(register, mirror, monkeypatch, tmp_path, format):
    monkeypatch.setattr(download, "SLACK", 1 << 17)
    bomb = b"x" * 30_000_000
    sources = {
        "zip": mirror.source("bomb.zip", zipped({"a": bomb}), "zip", members=["a"]),
        "tar": tar_source(mirror, {"linux/README": bomb}),
    }
    register(entry_of(TEXT, sources[format]))

    def load():
        with pytest.raises(ValueError, match="unpacks to more than"):
            load_corpus("tiny")

    assert peak_memory(load) < len(bomb) / 10
    assert cached(tmp_path) == []


def test_a_damaged_archive_is_an_error_and_leaves_nothing(register, mirror, tmp_path):
    archive = zipped({"a": TEXT})
    damaged = [
        mirror.source("text.zip", b"no archive", "zip", members=["a"]),
        mirror.source("cut.zip", archive[:-30], "zip", members=["a"]),
        mirror.source("flipped.zip", archive.replace(archive[40:50], b"?" * 10), "zip", members=["a"]),
        mirror.source("absent.zip", archive, "zip", members=["b"]),
        mirror.source("text.tar", b"no archive", "tar", patterns=["*"]),
        mirror.source("cut.tar", tarred({"a.c": os.urandom(999)})[:-99], "tar", patterns=["*"]),
    ]
    register(entry_of(TEXT, *damaged))
    with pytest.raises(ValueError) as error:
        load_corpus("tiny")
    for source in damaged:
        assert f"{source['url']}: ValueError: not a readable {source['format']}" in str(error.value)
    assert cached(tmp_path) == []


def test_the_stand_in_replaces_unreachable_sources_and_one_line_says_so(register, unreachable, standin, capsys):
    register(entry_of(TEXT, unreachable))
    corpus = load_corpus("tiny")
    assert corpus.text == "Second Citizen:\nHear, hear.\n"
    assert corpus.origin == "stand-in" and corpus.is_standin
    assert corpus.sha256 == sha256(corpus.text.encode())
    assert capsys.readouterr().out == (
        "tiny: no source could be reached, so this is the stand-in, text sampled from charlm's own model; "
        "its numbers are not the real text's.\n"
    )


def test_offline_goes_straight_to_the_stand_in(register, mirror, standin, monkeypatch, no_network, tmp_path, capsys):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    assert load_corpus("tiny").is_standin
    assert capsys.readouterr().out.startswith("tiny: CHARLM_OFFLINE is set, so this is the stand-in")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_is_off_when_empty_or_zero(register, mirror, monkeypatch, standin, value):
    monkeypatch.setenv("CHARLM_OFFLINE", value)
    register(entry_of(TEXT, mirror.source("tiny.txt", TEXT)))
    assert not load_corpus("tiny").is_standin


def test_a_real_text_prints_nothing(register, data_folder, capsys):
    register(entry_of())
    put(data_folder, "tiny.txt", TEXT)
    load_corpus("tiny")
    assert capsys.readouterr().out == ""


def test_a_limit_holds_for_the_stand_in(register, standin, monkeypatch):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    register(entry_of())
    assert load_corpus("tiny", limit=6).text == "Second"
    assert load_corpus("tiny", limit=6, as_bytes=True).text == "Second"


def test_no_network_and_no_stand_in_tells_the_reason_and_the_ways_out(register, unreachable):
    register(entry_of(TEXT, unreachable))
    with pytest.raises(FileNotFoundError) as error:
        load_corpus("tiny")
    for part in (unreachable["url"], "refused", "CHARLM_DATA", "tiny.txt (61 bytes)", "path of a text"):
        assert part in str(error.value)


def test_offline_and_no_stand_in_tells_the_ways_out(register, monkeypatch, no_network):
    monkeypatch.setenv("CHARLM_OFFLINE", "1")
    register(entry_of())
    with pytest.raises(FileNotFoundError, match="Unset CHARLM_OFFLINE, or set CHARLM_DATA"):
        load_corpus("tiny")


def test_the_module_does_not_import_tensorflow():
    source = Path(corpora.__file__).read_text(encoding="utf-8")
    assert "tensorflow" not in source and "keras" not in source


def test_unique_lines_drop_blanks_empty_lines_and_duplicates_and_keep_the_order():
    assert corpora.unique_lines("Bo \r\n\n  \nAnn\nBo\n Al\tX ") == ["Bo", "Ann", "Al\tX"]
    with pytest.raises(ValueError, match="no line"):
        corpora.unique_lines(" \n\n")


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_unique_lines_of_a_text_read_as_bytes_are_those_of_the_text(names):
    names = [name.strip(" \t\r\n\f\v") for name in names if not set(name) & set("\n\r")]
    names = list(dict.fromkeys(name for name in names if name))
    if names:
        as_bytes = corpora.encode_bytes("\n".join([*names, "às", "naïve"]))  # 0xA0 and 0x85 are parts of letters
        found = corpora.unique_lines(as_bytes)
        assert [corpora.decode_bytes(name) for name in found] == list(dict.fromkeys([*names, "às", "naïve"]))


def test_a_folder_is_read_no_further_than_the_limit(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc\n" * 1000 + b"\xff")  # its end is not UTF-8, and nobody asked for it
    assert corpora.load_folder(tmp_path, limit=10).text == "abc\nabc\nab"
    assert corpora.load_folder(tmp_path, limit=10, as_bytes=True).text == "abc\nabc\nab"


def test_a_source_is_resolved_to_what_it_stands_for(tmp_path):
    kinds = {"shakespeare": "registered", "https://a.b/c.txt": "url", str(tmp_path): "folder", "letters.txt": "file"}
    for place, kind in kinds.items():
        assert corpora.resolve_source(place).kind == kind
    assert corpora.resolve_source("shakespeare", "*.txt").kind == "folder"
    notes = corpora.resolve_source("letters.txt", limit=7).notes()
    assert notes == {"source": Path("letters.txt").absolute().as_posix(), "pattern": None, "as_bytes": None, "limit": 7}
