"""Reading what was drawn or photographed, and correcting it."""

import cv2
import numpy as np
import pytest

from steepest.formulas.app.drawing import draw_page
from steepest.formulas.logic import FORMATS
from tests.formulas.app.writing import strokes_of

TEXT = "∀x(P(x)→Q(x))"


def drawn(client, text=TEXT, **more):
    answer = client.post("/api/sheets/drawn", json={"strokes": strokes_of(text), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def changed(client, sheet, way, status=200, **more):
    answer = client.post(f"/api/sheets/{sheet['sheet']}/{way}", json={"revision": sheet["revision"], **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def said(sheet):
    return ["".join(symbol["character"] for symbol in line["symbols"]) for line in sheet["lines"]]


def picture_of(text=TEXT):
    page = draw_page([np.array(stroke) for stroke in strokes_of(text)])
    return cv2.imencode(".png", np.pad(page.image, 60, constant_values=255))[1].tobytes()


def test_strokes_are_read_with_boxes_where_they_were_drawn(client):
    sheet = drawn(client)
    assert said(sheet) == [TEXT]
    assert sheet["lines"][0]["texts"]["unicode"] == "∀x(P(x) → Q(x))"
    points = np.array([point for stroke in strokes_of(TEXT)[:2] for point in stroke])  # of the first symbol
    x, y, width, height = sheet["lines"][0]["symbols"][0]["box"]
    low, high = points.min(axis=0), points.max(axis=0)
    assert np.abs([x - low[0], y - low[1], x + width - high[0], y + height - high[1]]).max() < 5


@pytest.mark.slow
def test_a_picture_is_read_and_shown_again(client):
    answer = client.post("/api/sheets/picture", content=picture_of())
    sheet = answer.json()
    assert said(sheet) == [TEXT]
    shape = cv2.imdecode(np.frombuffer(picture_of(), np.uint8), 0).shape
    assert (sheet["height"], sheet["width"]) == shape
    shown = client.get(f"/api/sheets/{sheet['sheet']}/picture")
    assert shown.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(shown.content, np.uint8), 0).shape == shape


def test_a_correction_changes_the_text_and_can_be_taken_back(client):
    sheet = drawn(client)
    after = changed(client, sheet, "correct", line=0, place=7, character="∧")
    assert after["lines"][0]["texts"]["unicode"] == "∀x(P(x) ∧ Q(x))"
    assert after["lines"][0]["symbols"][7]["corrected"]
    assert client.get(f"/api/sheets/{sheet['sheet']}").json() == after
    before = changed(client, sheet, "undo")
    assert said(before) == [TEXT]
    assert changed(client, before, "undo", 409)["error"] == "there is no correction to take back"


def test_a_correction_meant_for_an_older_sheet_is_refused(client):
    sheet = drawn(client)
    changed(client, sheet, "correct", line=0, place=7, character="∧")
    assert "changed elsewhere" in changed(client, sheet, "correct", 409, line=0, place=7, character="→")["error"]


def test_corrections_stay_when_more_is_drawn(client):
    sheet = changed(client, drawn(client, "P∧Q"), "correct", line=0, place=1, character="→")
    more = drawn(client, "P∧Q→", sheet=sheet["sheet"])
    assert more["sheet"] == sheet["sheet"]
    symbols = more["lines"][0]["symbols"]
    assert [symbol["corrected"] for symbol in symbols] == [False, True, False, False]
    assert symbols[1]["character"] == "→"


@pytest.mark.parametrize("bring", [False, True], ids=["drawn", "picture"])
def test_symbols_are_split_and_merged(client, bring):
    sheet = client.post("/api/sheets/picture", content=picture_of("PxQ")).json() if bring else drawn(client, "PxQ")
    boxes = [symbol["box"] for symbol in sheet["lines"][0]["symbols"]]
    merged = changed(client, sheet, "merge", line=0, places=[0, 1])
    (both, other) = merged["lines"][0]["symbols"]
    assert other["box"] == boxes[2]
    assert both["box"][0] == boxes[0][0]
    assert both["box"][0] + both["box"][2] == pytest.approx(boxes[1][0] + boxes[1][2], abs=0.2)
    parted = changed(client, merged, "split", line=0, place=0)
    assert [s["bitmap"] for s in parted["lines"][0]["symbols"]] == [s["bitmap"] for s in sheet["lines"][0]["symbols"]]
    assert "neighbours" in changed(client, parted, "merge", 422, line=0, places=[0, 2])["error"]
    assert "no symbol 9" in changed(client, parted, "split", 404, line=0, place=9)["error"]
    assert len(changed(client, parted, "remove", line=0, place=1)["lines"][0]["symbols"]) == 2


def test_the_text_is_downloaded_in_every_language(client):
    sheet = drawn(client)
    found = {to: client.get(f"/api/sheets/{sheet['sheet']}/text?to={to}") for to in FORMATS}
    assert {to: answer.text.strip() for to, answer in found.items()} == {
        "unicode": "∀x(P(x) → Q(x))",
        "latex": r"$\forall x(P(x) \to Q(x))$",
        "tptp": "fof(formula_1, axiom, ! [X] : (p(X) => q(X))).",
        "prover9": "all x (P(x) -> Q(x)).",
        "ascii": "forall x (P(x) -> Q(x))",
    }
    assert found["tptp"].headers["content-disposition"] == f'attachment; filename="formulas-{sheet["sheet"]}.p"'
    assert "to must be one of" in client.get(f"/api/sheets/{sheet['sheet']}/text?to=svg").json()["error"]


def test_what_is_no_formula_is_a_comment_where_only_formulas_may_stand(client):
    sheet = drawn(client, "P→)")
    options = changed(client, sheet, "options", grammar=False)
    assert options["lines"][0]["formula"] is False
    text = client.get(f"/api/sheets/{sheet['sheet']}/text?to=tptp").text
    assert text.startswith("% line 1 is no formula: ")


def test_only_what_was_corrected_goes_to_a_set_and_once(client):
    number = client.post("/api/sets", json={"name": "mine"}).json()["id"]
    sheet = drawn(client)
    keep = f"/api/sheets/{sheet['sheet']}/keep"
    assert client.post(keep, json={"which": "corrected", "set": number}).status_code == 422
    sheet = changed(client, sheet, "correct", line=0, place=7, character="∧")
    assert client.post(keep, json={"which": "corrected", "set": number}).json() == {"added": 1}
    changed(client, sheet, "correct", line=0, place=7, character="¬")
    client.post(keep, json={"which": "corrected", "set": number})  # what was said of this ink before is wrong
    counts = {label: count for label, count in client.get(f"/api/sets/{number}").json()["counts"] if count}
    assert counts == {"¬": 1}
    ids = [sample["id"] for sample in client.get(f"/api/sets/{number}/samples?label=¬").json()["samples"]]
    client.post("/api/samples/delete", json={"ids": ids})
    assert client.get(f"/api/sets/{number}").json()["symbols"] == 0
    client.post(keep, json={"which": "corrected", "set": number})  # it is wanted after all
    assert client.get(f"/api/sets/{number}").json()["symbols"] == 1
    client.post(keep, json={"which": "all", "set": number})
    assert client.get(f"/api/sets/{number}").json()["symbols"] == len(TEXT)


def test_sheets_are_found_again_after_a_restart(client, folder, model):
    from tests.formulas.app.conftest import client_of

    sheet = changed(client, drawn(client), "correct", line=0, place=7, character="∧")
    assert client_of(folder, model).get(f"/api/sheets/{sheet['sheet']}").json() == sheet
