"""Models: listed, brought, compared, switched, gone back to."""

import json

import pytest

from steepest.formulas.app.database import Database
from steepest.formulas.app.models import Models
from steepest.formulas.recognition import Recognizer
from steepest.formulas.recognition.networks import DenseNet
from tests.formulas.app.conftest import client_of


@pytest.fixture
def blank(tmp_path):
    """The content of a model that knows two classes badly."""
    return Recognizer(DenseNet(2, 4), ("∀", "∃"), accuracy=0.25).content()


def brought(client, content, name="other.safetensors", status=200):
    answer = client.post("/api/models", params={"name": name}, content=content)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_the_shipped_model_reads_at_first(client, model):
    found = client.get("/api/models").json()
    assert (found["in_use"], found["before"], [entry["id"] for entry in found["models"]]) == (0, None, [0])
    assert client.get("/api/models/0/file").content == model.read_bytes()


def test_a_worse_model_is_used_only_by_the_users_word(client, blank):
    number = brought(client, blank)["id"]
    assert client.get("/api/models").json()["in_use"] == 0  # not by being brought
    refused = client.post(f"/api/models/{number}/use", json={})
    assert refused.status_code == 409
    assert refused.json()["ask"] is True
    assert "'other' knows 25.0 %" in refused.json()["error"]
    assert client.get("/api/models").json()["in_use"] == 0
    assert client.post(f"/api/models/{number}/use", json={"anyway": True}).status_code == 200
    assert client.get("/api/models").json()["in_use"] == number


def test_what_is_no_symbol_counts_as_no_class(client, tmp_path):
    knowing = Recognizer(DenseNet(3, 4), ("∀", "∃", ""))
    knowing.save(tmp_path / "default.safetensors")
    own = client_of(tmp_path / "data", tmp_path / "default.safetensors")
    assert own.get("/api/models").json()["models"][0]["facts"]["classes"] == 2
    number = brought(client, knowing.content())["id"]
    found = {entry["id"]: entry["facts"]["classes"] for entry in client.get("/api/models").json()["models"]}
    assert found[number] == 2
    same = brought(own, Recognizer(DenseNet(2, 4), ("∀", "∃")).content())["id"]
    assert own.post(f"/api/models/{same}/use", json={}).status_code == 200  # it knows as many


def test_one_can_go_back_to_the_model_before(client, blank, folder, model):
    number = brought(client, blank)["id"]
    client.post(f"/api/models/{number}/use", json={"anyway": True})
    again = client_of(folder, model)  # as after a restart
    assert again.get("/api/models").json()["before"] == 0
    assert again.post("/api/models/back").json() == {"in_use": 0}
    assert again.post("/api/models/back").status_code == 409


def test_a_model_in_use_is_not_removed_and_one_that_is_removed_is_not_gone_back_to(client, blank, folder):
    first, second = brought(client, blank)["id"], brought(client, blank, "second")["id"]
    client.post(f"/api/models/{first}/use", json={"anyway": True})
    assert client.delete(f"/api/models/{first}").status_code == 409
    client.post(f"/api/models/{second}/use", json={"anyway": True})
    assert client.delete(f"/api/models/{first}").status_code == 200
    assert client.get("/api/models").json()["before"] == 0
    assert len(list((folder / "models").iterdir())) == 1
    assert client.delete("/api/models/0").json()["error"] == "the model that is shipped stays as it is"


def test_models_are_compared_on_the_same_symbols(client, blank, tmp_path):
    from steepest.formulas.sets import write_set
    from steepest.formulas.sets.made import make_symbols

    number, other = client.post("/api/sets", json={"name": "mine"}).json()["id"], brought(client, blank)["id"]
    write_set(make_symbols(5, 7, labels="∀∃(x"), tmp_path / "some.npz")
    client.post(f"/api/sets/{number}/import?name=some.npz", content=(tmp_path / "some.npz").read_bytes())
    found = client.post("/api/models/compare", json={"models": [0, other], "set": number}).json()
    assert found["symbols"] == 20
    shipped, brought_one = found["models"]
    assert shipped["accuracy"] > 0.6 > 0.5 >= brought_one["accuracy"]


def test_files_that_are_no_models_are_refused(client, folder, blank):
    size = int.from_bytes(blank[:8], "little")
    header = json.loads(blank[8 : 8 + size])
    header["__metadata__"]["labels"] = '["∀", "no class"]'
    forged = json.dumps(header).encode()
    for content in (b"", b"\x80\x04pickle", blank[:-5], len(forged).to_bytes(8, "little") + forged + blank[8 + size :]):
        assert "cannot be used as a model" in brought(client, content, status=422)["error"]
    assert list((folder / "models").iterdir()) == []


def test_without_any_model_one_is_told_to_train(folder, tmp_path):
    client = client_of(folder, tmp_path / "none.safetensors")
    answer = client.post("/api/sheets/drawn", json={"strokes": [[[0, 0], [9, 9]]]})
    assert answer.json() == {"error": "there is no model yet: train one, or bring a file"}
    assert client.get("/api/models").json()["models"] == []


def test_a_training_is_kept_as_one_model_however_often_it_is_found(folder, tmp_path, blank):
    folder.joinpath("models").mkdir(parents=True)
    models = Models(folder, Database(folder / "x.sqlite"), tmp_path / "none")
    assert models.add(blank, "a", {}, training="t") == models.add(blank, "a", {}, training="t")
    assert len(list((folder / "models").iterdir())) == 1
