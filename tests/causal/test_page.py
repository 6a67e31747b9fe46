"""The page of a causal graph and its files: what they say, that nodes move, that names are no markup."""

import csv
import json

import networkx as nx
import numpy as np
import pytest

from steepest.causal.exports import as_dot, graph_of, list_edges, picture, write_graph
from steepest.causal.page import Learnt, story_of
from steepest.page.story import write_story

NAMES = ["a", "<b>", 'c "quoted"', "alone"]
ADJACENCY = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
CPDAG = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
CONFIDENCE = np.array([[0, 0.5, 0.9, 0], [0.4, 0, 0.25, 0], [0, 0, 0, 0], [0, 0, 0.125, 0]])


def learnt(confidence=CONFIDENCE, adjacency=ADJACENCY):
    return Learnt(
        names=NAMES,
        edges=list_edges(NAMES, adjacency, CPDAG, confidence),
        order=NAMES,
        logits=np.array([2.0, 0.0, -2.0, 0.0]),
        score=-100.0,
        score_name="gaussian-bic",
        baselines={"empty graph": -200.0},
        history=[{"evaluations": 4, "seconds": 0.1, "best": -150.0, "mean": -170.0},
                 {"evaluations": 8, "seconds": 0.2, "best": -100.0}],
        assumptions=["No two variables have a common cause that is not in the table."],
        settings={"seed": 3},
        rows=50,
        notes=["Column 'flat' was left out: it has one value."],
        resamples=0 if confidence is None else 20,
        confidence=confidence,
        counted={"evaluations": 8},
    )  # fmt: skip


def write(folder, found):
    graph = graph_of(found.names, found.edges)
    write_graph(folder, graph, found.edges)
    return write_story(
        folder,
        story_of(found),
        "steepest causal <i>data</i>.csv",
        template="causal.html.j2",
        package="steepest.causal",
        files=("graph.svg",),
        picture=picture(graph, found.edges, alone=False),
        assumptions=found.assumptions,
        resamples=found.resamples,
    )


def test_edges_know_their_direction_and_their_shares():
    edges = learnt().edges
    assert [(e.cause, e.effect, e.oriented) for e in edges] == [
        ("a", "<b>", False), ("a", 'c "quoted"', True), ("<b>", 'c "quoted"', True),
    ]  # fmt: skip
    assert (edges[0].this_way, edges[0].other_way) == (0.5, 0.4)
    assert edges[0].said() == "a → <b>, or the other way; in 50% of the resamples so, in 40% reversed"


def test_the_words_say_what_is_known():
    story = story_of(learnt())
    assert story.headline == (
        "3 edges; 2 of them the same way in every graph that fits as well, and 1 of these in at least 80% of 20 "
        "resamples' graphs."
    )
    said = " ".join(story.sentences)
    assert "What the data cannot orient (dashed): a - <b>." in said
    assert (
        "Of 3 edges 2 are in at least 80% of 20 resamples' graphs, in either direction; less stable: <b> - c \"" in said
    )
    assert "Score -100.0; beside it: empty graph -200.0." in said
    assert "Column 'flat' was left out" in said
    assert story.table[0] == {
        "edge": "a → <b>", "in the class": "either way", "in resamples": "50%", "reversed": "40%", "no edge": "10%",
    }  # fmt: skip
    assert "resamples tell it" in " ".join(story_of(learnt(confidence=None)).sentences)
    assert story_of(learnt(adjacency=0 * ADJACENCY)).headline.startswith("No edge was found")


def test_files_hold_everything(tmp_path):
    write(tmp_path, learnt())
    told = json.loads((tmp_path / "causal.json").read_text())
    assert told["adjacency"] == ADJACENCY.tolist()
    assert told["score"] == -100.0
    assert told["command"] == "steepest causal <i>data</i>.csv"
    with open(tmp_path / "edges.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["cause"], rows[0]["oriented"], rows[0]["this_way"]) == ("a", "False", "0.5")
    with open(tmp_path / "confidence.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 5
    graph = nx.read_graphml(tmp_path / "graph.graphml")
    assert set(graph.edges) == {(e.cause, e.effect) for e in learnt().edges}
    assert graph.edges["a", "<b>"] == {"oriented": False, "confidence": 0.5, "reversed": 0.4}
    assert '"a" -> "c \\"quoted\\"" [label="0.90"];' in as_dot(graph_of(NAMES, learnt().edges))
    assert (tmp_path / "graph.dot").read_text().startswith("digraph {")


def test_the_order_is_a_chance_for_each_pair():
    (order, _) = story_of(learnt()).figures
    chance = np.array(order.plot.data[0].z, dtype=float)
    assert chance[0, 1] == pytest.approx(1 / (1 + np.exp(-2)))
    assert chance[0, 1] + chance[1, 0] == pytest.approx(1)


@pytest.fixture
def page(tmp_path, browser):
    path = write(tmp_path, learnt())
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(path.as_uri())
    yield page
    assert wrong == []
    page.close()


@pytest.mark.slow
def test_the_page_is_whole_and_a_name_is_no_markup(page):
    for key in ("order", "search"):
        page.locator(f"#plot-{key}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#plot-{key} .main-svg")
    text = page.locator("body").inner_text()
    assert "steepest causal <i>data</i>.csv" in text
    assert "<b>" in page.locator(".graph").text_content()
    assert "No two variables have a common cause" in text
    assert page.locator(".graph path.edge.open").count() == 1


@pytest.mark.slow
def test_a_node_is_moved_and_its_edges_follow(page):
    node, edge = page.locator(".graph g.node").first, page.locator(".graph path.edge").first
    before, path = node.bounding_box(), edge.get_attribute("d")
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=3)
    page.mouse.up()
    after = node.bounding_box()
    assert after["x"] - before["x"] == pytest.approx(60, abs=2)
    assert after["y"] - before["y"] == pytest.approx(30, abs=2)
    moved = edge.get_attribute("d")
    assert moved != path
    node.focus()
    page.keyboard.press("ArrowRight")
    assert edge.get_attribute("d") != moved
    page.locator("#graph-reset").click()
    assert node.bounding_box()["x"] == pytest.approx(before["x"], abs=1)
