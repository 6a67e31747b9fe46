"""Sets of the user's own: drawn, counted, mended, imported and exported."""

import io
import json
import zipfile

import numpy as np
import pytest

from steepest.formulas.app.outliers import find_outliers
from steepest.formulas.logic import LABELS
from steepest.formulas.sets import SymbolSet, read_set, write_set
from steepest.formulas.sets.made import make_symbols
from tests.formulas.app.writing import strokes_of


def set_of(client, name="mine"):
    return client.post("/api/sets", json={"name": name}).json()["id"]


def counts_of(client, number):
    return {label: count for label, count in client.get(f"/api/sets/{number}").json()["counts"] if count}


def as_pairs(symbols):
    return sorted(zip(symbols.labels, (image.tobytes() for image in symbols.images), strict=True))


def draw(client, number, label):
    answer = client.post(f"/api/sets/{number}/samples", json={"label": label, "strokes": strokes_of(label)})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def brought(client, number, name, content, status=200):
    answer = client.post(f"/api/sets/{number}/import", params={"name": name}, content=content)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_drawn_symbols_are_counted_per_class(client):
    number = set_of(client)
    for label in "∀∀∃":
        draw(client, number, label)
    assert counts_of(client, number) == {"∀": 2, "∃": 1}
    assert [label for label, _ in client.get(f"/api/sets/{number}").json()["counts"]] == [*LABELS, ""]
    assert client.get("/api/sets").json()["sets"] == [{"id": number, "name": "mine", "symbols": 3, "classes": 2}]


def test_symbols_are_relabelled_deleted_and_brought_back(client):
    number = set_of(client)
    first, second = draw(client, number, "∀"), draw(client, number, "∀")
    assert client.post("/api/samples/relabel", json={"ids": [first], "label": "∃"}).json() == {"changed": 1}
    assert counts_of(client, number) == {"∀": 1, "∃": 1}
    client.post("/api/samples/delete", json={"ids": [first, second]})
    assert counts_of(client, number) == {}
    client.post("/api/samples/restore", json={"ids": [first]})
    assert counts_of(client, number) == {"∃": 1}


def test_sets_are_renamed_and_removed_with_their_symbols(client):
    number, other = set_of(client, "a"), set_of(client, "b")
    draw(client, number, "∀")
    assert client.patch(f"/api/sets/{number}", json={"name": "b"}).json() == {"error": "there is a set of the name 'b'"}
    assert client.patch(f"/api/sets/{number}", json={"name": " new \n name "}).status_code == 200
    assert [entry["name"] for entry in client.get("/api/sets").json()["sets"]] == ["new name", "b"]
    client.delete(f"/api/sets/{number}")
    assert client.get(f"/api/sets/{number}").status_code == 404
    assert client.get(f"/api/sets/{other}").status_code == 200


@pytest.mark.parametrize("kind", ["zip", "csv", "npz"])
def test_a_set_that_was_exported_can_be_imported(client, tmp_path, kind):
    number = set_of(client)
    made = make_symbols(3, 0, labels="aAv∀(")
    write_set(made, tmp_path / "made.npz")
    assert brought(client, number, "made.npz", (tmp_path / "made.npz").read_bytes()) == {"added": 15}
    exported = client.get(f"/api/sets/{number}/export?to={kind}")
    assert exported.headers["content-disposition"] == f'attachment; filename="symbols-{number}.{kind}"'
    (tmp_path / f"again.{kind}").write_bytes(exported.content)
    again = read_set(tmp_path / f"again.{kind}")
    assert as_pairs(again) == as_pairs(made)
    other = set_of(client, "other")
    brought(client, other, f"again.{kind}", exported.content)
    assert counts_of(client, other) == counts_of(client, number)


def test_strokes_stay_strokes(client):
    number, other = set_of(client), set_of(client, "other")
    draw(client, number, "∀")
    exported = client.get(f"/api/sets/{number}/export?to=json").json()
    assert exported == [{"label": "∀", "strokes": strokes_of("∀")}]
    brought(client, other, "x.json", json.dumps(exported))
    assert client.get(f"/api/sets/{other}/export?to=json").json() == exported
    one, two = (client.get(f"/api/sets/{k}/samples?label=∀").json()["samples"][0]["bitmap"] for k in (number, other))
    assert one == two


def test_a_class_with_many_symbols_comes_in_parts(client, tmp_path):
    number = set_of(client)
    write_set(SymbolSet(np.ones((450, 28, 28), np.uint8), ("a",) * 450), tmp_path / "many.npz")
    brought(client, number, "many.npz", (tmp_path / "many.npz").read_bytes())
    seen, more = [], True
    while more:
        where = {"label": "a", "after": seen[-1] if seen else 0}
        found = client.get(f"/api/sets/{number}/samples", params=where).json()
        seen += [sample["id"] for sample in found["samples"]]
        more = found["more"]
    assert len(seen) == len(set(seen)) == 450


def test_mislabelled_symbols_are_flagged():
    made = make_symbols(30, 0, labels="∀∃(→x")
    labels = list(made.labels)
    for k in (3, 40, 100):
        labels[k] = "a" if k == 3 else "∀" if k == 40 else "∃"
    labels[4] = labels[5] = "a"  # else the class is too small to be judged
    found = [k for k, _ in find_outliers(made.images, labels)]
    assert found[:2] == [40, 100]  # the surest
    assert len(found) <= 8


def test_an_import_that_is_refused_adds_nothing(client, tmp_path):
    number = set_of(client)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a/1.png", b"no picture")
    assert "1.png" in brought(client, number, "set.zip", content.getvalue(), 422)["error"]
    for name, body in (("x.csv", b"a,b"), ("x.npz", b"PK"), ("x.json", b"[{}]"), ("x.exe", b"MZ"), ("", b"")):
        error = brought(client, number, name, body, 422)["error"]
        assert str(tmp_path) not in error
        assert "/tmp" not in error
    assert counts_of(client, number) == {}
