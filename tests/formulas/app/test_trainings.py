"""Trainings in processes of their own: one at a time, cancelled, killed, found again."""

import os
import signal
import time

import pytest

from steepest.formulas.sets import write_set
from steepest.formulas.sets.made import make_symbols
from tests.formulas.app.conftest import client_of, serving

LONG = {"epochs": 5000, "hidden": 400, "batch_size": 16}


@pytest.fixture
def number(client, tmp_path):
    """A set of 180 symbols."""
    write_set(make_symbols(20, 5, labels="∀∃(x)→avy"), tmp_path / "some.npz")
    number = client.post("/api/sets", json={"name": "mine"}).json()["id"]
    client.post(f"/api/sets/{number}/import?name=some.npz", content=(tmp_path / "some.npz").read_bytes())
    yield number
    for entry in client.get("/api/trainings").json()["trainings"]:
        client.post(f"/api/trainings/{entry['training']}/cancel")


def started(client, number, status=200, name="test", **settings):
    answer = client.post("/api/trainings", json={"name": name, "sets": [number], "settings": settings})
    assert answer.status_code == status, answer.text
    return answer.json().get("training") or answer.json()["error"]


def until(client, training, wanted, patience=120):
    for _ in range(10 * patience):
        found = client.get(f"/api/trainings/{training}").json()
        if wanted(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"it never came to that: {found}")


def ended(found):
    return found["state"] != "running"


def process_of(folder):
    return int((folder / "trainings" / "lock").read_text().split()[1])


@pytest.mark.slow
def test_a_training_ends_with_a_model_that_is_not_used_by_itself(client, number):
    training = started(client, number, epochs=3, method="sngm")
    found = until(client, training, ended)
    assert (found["state"], found["done"], found["error"]) == ("finished", 3, None)
    assert [at["epoch"] for at in found["curve"]] == [1, 2, 3]
    assert [at["epoch"] for at in client.get(f"/api/trainings/{training}?after=2").json()["curve"]] == [3]
    assert 0 <= found["result"]["balanced_accuracy"] <= 1
    assert found["before"]["model"] == 0  # the one in use, on the same symbols
    models = client.get("/api/models").json()
    assert models["in_use"] == 0
    assert [entry["name"] for entry in models["models"]] == ["shipped with steepest", "test"]
    assert models["models"][1]["facts"]["sets"] == ["mine"]
    assert found["model"] == models["models"][1]["id"]
    pairs = client.get(f"/api/trainings/{training}/examples").json()["confusions"]
    assert all(len(pair["bitmaps"]) == len(pair["examples"]) for pair in pairs)


@pytest.mark.slow
def test_a_model_worse_than_the_one_in_use_on_the_same_symbols_is_asked_about(client, number):
    training = started(client, number, epochs=1, lr=1e-6)
    found = until(client, training, ended)
    assert found["result"]["accuracy"] < found["before"]["accuracy"]
    refused = client.post(f"/api/models/{found['model']}/use", json={})
    assert (refused.status_code, refused.json()["ask"]) == (409, True)
    assert "of the same symbols" in refused.json()["error"]


@pytest.mark.slow
def test_two_trainings_at_once_are_one_and_a_sentence(client, number, folder, model):
    training = started(client, number, **LONG)
    assert started(client, number, 409) == "a training is running; cancel it, or wait for its end"
    assert started(client_of(folder, model), number, 409).startswith("a training is running")
    assert client.delete(f"/api/trainings/{training}").status_code == 409
    until(client, training, lambda found: found["done"] > 1)
    assert client.post(f"/api/trainings/{training}/cancel").status_code == 200
    assert client.get(f"/api/trainings/{training}").json()["state"] == "cancelled"
    assert client.post(f"/api/trainings/{training}/cancel").status_code == 409
    until(client, started(client, number, epochs=1), ended)


@pytest.mark.slow
def test_a_cancelled_training_goes_on_where_it_stood(client, number):
    training = started(client, number, **LONG)
    until(client, training, lambda found: found["done"] >= 3)
    time.sleep(6)  # until there is a checkpoint
    client.post(f"/api/trainings/{training}/cancel")
    before = client.get(f"/api/trainings/{training}").json()
    assert client.post(f"/api/trainings/{training}/resume").status_code == 200
    after = until(client, training, lambda found: found["done"] > before["done"])
    assert after["curve"][:3] == before["curve"][:3]
    client.post(f"/api/trainings/{training}/cancel")


@pytest.mark.slow
def test_a_killed_training_is_found_and_can_go_on(client, number, folder, model):
    training = started(client, number, epochs=40, hidden=400, batch_size=16)
    until(client, training, lambda found: found["done"] >= 2)
    os.kill(process_of(folder), signal.SIGKILL)
    until(client, training, ended)
    again = client_of(folder, model)  # as after a restart
    found = again.get(f"/api/trainings/{training}").json()
    assert found["state"] == "interrupted"
    assert found["done"] >= 2
    again.post(f"/api/trainings/{training}/resume")
    assert until(again, training, ended)["state"] == "finished"


@pytest.mark.slow
def test_a_training_outlives_its_server_and_is_found_by_the_next(client, number, folder, model):
    import httpx

    with serving(folder, model) as (address, server), httpx.Client(base_url=address) as first:
        training = started(first, number, epochs=60, hidden=400, batch_size=16)
        until(first, training, lambda found: found["done"] >= 1)
        server.kill()
        server.wait()
    assert client.get(f"/api/trainings/{training}").json()["state"] == "running"
    found = until(client, training, ended)
    assert (found["state"], found["done"]) == ("finished", 60)
    assert found["model"] is not None
    assert client.get("/api/trainings").json()["trainings"][0]["model"] == found["model"]
    assert len(client.get("/api/models").json()["models"]) == 2


def test_settings_are_refused_in_a_sentence(client, number):
    for settings, part in (
        ({"method": "file.py:method"}, "method must be one of"),
        ({"network": "lstm"}, "network must be one of dense, cnn"),
        ({"lr": -1}, "lr must be a finite number above 0"),
        ({"epochs": 10**9}, "epochs must be"),
        ({"threads": 64}, "settings must be of"),
        ({"batch_size": 0.5}, "batch_size must be a whole number"),
        ({"hidden": 10**6}, "hidden must be"),
        ({"distort": 1}, "distort must be true or false"),
        ({"fragments": True}, "fragments must be a number"),
        ({"fragments": 1e9}, "fragments must be from 0 to 10"),
    ):
        status = 400 if part.startswith(("settings", "batch", "distort", "fragments must be a n")) else 422
        assert part in started(client, number, status, **settings)
    assert started(client, 77, 404) == "there is no set of number 77"
    assert client.get("/api/trainings").json() == {"trainings": []}


@pytest.mark.slow
def test_a_training_that_cannot_be_says_why(client):
    number = client.post("/api/sets", json={"name": "few"}).json()["id"]
    for _ in range(2):
        client.post(f"/api/sets/{number}/samples", json={"label": "∀", "strokes": [[[0, 0], [9, 9]]]})
    found = until(client, started(client, number), ended)
    assert found["state"] == "failed"
    assert "symbols" in found["error"]
    assert client.delete(f"/api/trainings/{found['training']}").status_code == 200
    assert client.get("/api/trainings").json() == {"trainings": []}


def test_every_method_that_is_offered_can_be_started(client):
    from steepest.formulas.recognition import Settings

    choices = client.get("/api/choices").json()
    names = [method["name"] for method in choices["methods"]]
    assert {"sgd", "adam", "sngm"} <= set(names)
    assert not {"reinforce", "relax", "neural-sort"} & set(names)  # of orders
    for name in names:
        Settings(method=name).find_method()
