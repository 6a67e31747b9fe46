"""What a stranger may send, and what may happen to the files: a sentence each, and nothing is lost."""

import io
import json
import sqlite3
import struct
import zipfile
import zlib
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.formulas.app import find_data_folder, make_app, serve
from steepest.formulas.app.database import Database
from steepest.formulas.app.security import TOO_LARGE
from tests.formulas.app.conftest import client_of, serving
from tests.formulas.app.writing import strokes_of

LIMIT = 20 * 2**20
PAGES = (("/", 200), ("/static/main.js", 200), ("/nothing", 404), ("/api/sets/1", 404), ("/api/sets", 500))


def refused(answer, status):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert "\n" not in error
    assert "Traceback" not in error
    return error


def bomb_png(side):
    """A PNG of so many pixels in a few kilobytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(side // 8 + 1) * side, 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.slow
def test_a_body_over_the_limit_is_not_taken_in_even_if_its_length_is_not_told(folder, model):
    def endless():
        for _ in range(3000):
            yield bytes(2**16)  # 188 MiB together

    def most_memory(number):
        (line,) = (line for line in Path(f"/proc/{number}/status").read_text().splitlines() if "VmHWM" in line)
        return int(line.split()[1])  # KiB

    with serving(folder, model) as (address, server), httpx.Client(base_url=address, timeout=60) as client:
        before = most_memory(server.pid)
        assert refused(client.post("/api/sheets/picture", content=endless()), 413) == TOO_LARGE
        assert most_memory(server.pid) - before < 64 * 1024
        assert refused(client.post("/api/sheets/drawn", content=iter([bytes(2**22 + 1)])), 413) == TOO_LARGE
        assert client.get("/api/sets").status_code == 200


def test_a_body_whose_length_is_told_is_refused_before_it_is_read(client):
    for address, size in (("/api/sheets/drawn", 2**22), ("/api/sheets/picture", LIMIT), ("/api/sets", 2**22)):
        answer = client.post(address, content=bytes(size + 1))
        assert refused(answer, 413) == TOO_LARGE
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_address_that_takes_a_body_has_a_limit(client):
    content = bytes(64 * 2**20 + 1)
    asked = [(method, route.path) for route in client.app.routes for method in route.methods - {"GET", "HEAD"}]
    assert len(asked) > 15
    for method, path in asked:
        address = path.replace("{id:int}", "1").replace("{way:str}", "x").replace("{name:str}", "x")
        assert refused(client.request(method, address, params={"name": "x"}, content=content), 413) == TOO_LARGE


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200), ("localhost:8000", 200), ("[::1]:8000", 200), ("LOCALHOST", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("evil.example:127.0.0.1", 403), ("[::1", 403),
        ("localhost@evil.example", 403), ("10.0.0.1", 403), ("", 403),
    ],
)  # fmt: skip
def test_only_this_machines_names_are_answered(client, host, status):
    for path in ("/", "/api/sets", "/static/main.js"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == status
        if status == 403:
            assert "host" in refused(answer, 403)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": "http://localhost:8000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_only_pages_of_this_server_may_ask(client, headers, status):
    answer = client.post("/api/sets", json={"name": "mine"}, headers=headers)
    assert answer.status_code == status
    assert len(client.get("/api/sets").json()["sets"]) == (status == 200)
    assert "access-control-allow-origin" not in answer.headers


def test_a_link_from_elsewhere_may_be_followed_but_changes_nothing(client):
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/models", headers=followed).status_code == 200
    framed = {**followed, "sec-fetch-dest": "iframe"}
    assert refused(client.get("/models", headers=framed), 403)
    sent = {**followed, "origin": "http://evil.example"}  # as every form has that is sent from elsewhere
    assert refused(client.post("/api/sets", json={"name": "mine"}, headers=sent), 403)


def test_a_name_can_be_allowed_and_numbers_where_all_addresses_are_listened_to(folder, model):
    from starlette.testclient import TestClient

    app = make_app(folder, host="0.0.0.0", allow_hosts=["board.local"], default_model=model)
    client = TestClient(app, base_url="http://board.local:8000")
    assert client.get("/api/sets").status_code == 200
    assert client.get("/api/sets", headers={"host": "192.168.1.5:8000"}).status_code == 200
    assert client.get("/api/sets", headers={"host": "other.local"}).status_code == 403


def test_every_answer_says_what_a_page_may_do(client, monkeypatch):
    def fail(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("steepest.formulas.app.user_sets.list_sets", fail)
    for path, status in PAGES:
        answer = client.get(path)
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        if status >= 400:
            assert answer.json()["error"]


def test_no_page_has_a_script_or_a_style_within(client):
    for path in ("/", "/symbols", "/train", "/models"):
        text = client.get(path).text
        assert "style=" not in text
        assert " on" not in text.partition("<body>")[0].replace(" on ", "")
        assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')


def test_no_path_leads_out_of_the_static_files(client):
    for path in (
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static/..%2fapplication.py",
        "/static/",
    ):
        assert refused(client.get(path), 404)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        bomb_png(30_000),
    ],
    ids=["nothing", "svg", "gif", "cut png", "cut jpeg", "bomb"],
)
def test_what_is_no_picture_is_refused(client, content):
    assert len(content) < 200_000
    assert refused(client.post("/api/sheets/picture", content=content, headers={"content-type": "image/png"}), 422)
    assert refused(client.get("/api/sheets/1"), 404)


def test_a_zip_bomb_and_names_with_paths_are_refused(client, tmp_path):
    number = client.post("/api/sets", json={"name": "mine"}).json()["id"]
    bomb, paths = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for k in range(3):
            file.writestr(f"a/{k}.png", bytes(100 * 2**20))
    with zipfile.ZipFile(paths, "w") as file:
        file.writestr("../../a/evil.png", b"x")
    for content in (bomb.getvalue(), paths.getvalue(), b"PK\x03\x04", b""):
        assert refused(client.post(f"/api/sets/{number}/import?name=../../x.zip", content=content), 422)
    assert client.get(f"/api/sets/{number}").json()["symbols"] == 0
    assert not list(tmp_path.rglob("evil*"))


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMED = st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)
VALUES = PLAIN | NAMED | st.lists(PLAIN | NAMED | st.lists(PLAIN | st.lists(PLAIN, max_size=3), max_size=3), max_size=3)
PATHS = (
    ("/api/sheets/drawn", ("strokes", "sheet")), ("/api/sheets/1/correct", ("revision", "line", "place", "character")),
    ("/api/sheets/1/merge", ("revision", "line", "places")), ("/api/sheets/1/options", ("revision", "grammar")),
    ("/api/sheets/1/keep", ("which", "set")), ("/api/sets", ("name",)), ("/api/sets/1/samples", ("label", "strokes")),
    ("/api/samples/relabel", ("ids", "label")), ("/api/trainings", ("name", "sets", "settings")),
    ("/api/models/0/use", ("anyway",)), ("/api/models/compare", ("models", "set")),
)  # fmt: skip


@pytest.mark.slow
def test_values_of_any_kind_are_answered_with_a_sentence(tmp_path_factory, model):
    client = client_of(tmp_path_factory.mktemp("any"), model)
    client.post("/api/sheets/drawn", json={"strokes": strokes_of("P∧Q")})
    client.post("/api/sets", json={"name": "mine"})

    @given(st.sampled_from(PATHS), st.data())
    @settings(max_examples=300)
    def check(path, data):
        address, names = path
        body = {name: data.draw(VALUES) for name in names}
        if "sets" in body and isinstance(body["sets"], list):
            body["sets"] = [number for number in body["sets"] if number != 0]  # else it may begin
        answer = client.post(address, content=json.dumps(body))
        assert answer.status_code in (200, 400, 404, 409, 422), answer.text
        if answer.status_code != 200:
            assert answer.json()["error"]

    check()


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b'{"strokes": [[[NaN, 1]]]}', b'"x"'])
def test_what_is_no_object_is_refused(client, body):
    assert refused(client.post("/api/sheets/drawn", content=body), 400)


def test_numbers_out_of_all_ranges_are_refused(client):
    huge = "9" * 30
    assert refused(client.get(f"/api/sets/{huge}"), 404)
    assert refused(client.get(f"/api/sheets/{huge}/picture"), 404)
    assert client.get("/api/sets").status_code == 200
    assert refused(client.post("/api/samples/delete", json={"ids": [int(huge)]}), 404)
    strokes = [[[1e300, 0], [0, 0]]]
    assert refused(client.post("/api/sheets/drawn", json={"strokes": strokes}), 422)


def test_a_locked_database_is_a_sentence_and_then_works_again(client, folder, monkeypatch):
    monkeypatch.setattr("steepest.formulas.app.database.BUSY", 0.05)
    other = sqlite3.connect(folder / "formulas.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    answer = client.post("/api/sets", json={"name": "mine"})
    assert refused(answer, 503) == "the database is being written by another program; try again in a moment"
    assert client.get("/api/sets").status_code == 200  # who reads does not wait
    other.execute("ROLLBACK")
    other.close()
    assert client.post("/api/sets", json={"name": "mine"}).status_code == 200


def test_a_write_that_is_killed_leaves_nothing_or_all(folder, model, tmp_path):
    import subprocess
    import sys

    client = client_of(folder, model)
    number = client.post("/api/sets", json={"name": "mine"}).json()["id"]
    code = (
        "import os, sys, numpy as np; from pathlib import Path\n"
        "from steepest.formulas.app.database import Database; from steepest.formulas.app import symbols\n"
        "class Killing(list):\n"
        "    def __iter__(self):\n"
        "        yield from list.__iter__(self)\n"
        "        if self.armed: os.kill(os.getpid(), 9)\n"
        "many = Killing([symbols.Sample('a', np.ones((28, 28), np.uint8))] * 500)\n"
        "many.armed = False\n"
        "database = Database(Path(sys.argv[1])); symbols.add_samples(database, 1, many)\n"
        "check = symbols.check_label\n"
        "def arm(label): many.armed = label == 'a' and True\n"
        "many.armed = False; symbols.check_label = lambda label: None\n"
        "original = symbols.pack\n"
        "def pack(bitmap): many.armed = True; return original(bitmap)\n"
        "symbols.pack = pack; symbols.add_samples(database, 1, many)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder / "formulas.sqlite")], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert client.get(f"/api/sets/{number}").json()["symbols"] == 500


def test_a_damaged_database_is_refused_and_left_as_it_is(folder, model):
    folder.mkdir()
    path = folder / "formulas.sqlite"
    path.write_bytes(b"SQLite format 3\x00" + b"damaged" * 1000)
    with pytest.raises(InputError, match=r"formulas\.sqlite cannot be used as the database"):
        make_app(folder, default_model=model)
    assert path.read_bytes().endswith(b"damaged")


def test_a_database_of_a_later_version_is_refused(folder):
    folder.mkdir()
    Database(folder / "x.sqlite")
    with sqlite3.connect(folder / "x.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="written by a later version"):
        Database(folder / "x.sqlite")


def test_the_data_folder_is_the_one_that_is_given_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("STEEPEST_FORMULAS", raising=False)
    assert find_data_folder() == tmp_path / "xdg" / "steepest" / "formulas"
    monkeypatch.setenv("STEEPEST_FORMULAS", str(tmp_path / "own"))
    assert find_data_folder() == tmp_path / "own"
    assert find_data_folder(tmp_path / "given") == tmp_path / "given"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        find_data_folder(tmp_path / "file" / "below")


def test_an_address_that_is_taken_is_a_sentence(folder, model):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot be listened to at port"):
            serve(port=taken.getsockname()[1], data_folder=folder, default_model=model)
    with pytest.raises(InputError, match="port must be from 0 to 65535"):
        serve(port=70_000, data_folder=folder)


@pytest.mark.slow
def test_an_idle_server_is_not_woken(folder, model):
    """Counted is how often its threads run, not how long."""
    import time

    def wakings(number):
        tasks = Path(f"/proc/{number}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    with serving(folder, model) as (address, server):
        assert httpx.get(f"{address}/api/signs").status_code == 200
        time.sleep(6)  # kept connections end
        before = wakings(server.pid)
        time.sleep(3)
        assert wakings(server.pid) - before <= 3
