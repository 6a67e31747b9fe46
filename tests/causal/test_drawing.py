"""A graph's picture: causes above effects, nothing upon another, the same every time, and no markup from names."""

import itertools
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.causal.drawing.layout import layered
from steepest.causal.drawing.svg import Arrow, curve, draw_graph


@st.composite
def graphs(draw):
    size = draw(st.integers(0, 12))
    pairs = list(itertools.combinations(range(size), 2))
    graph = nx.DiGraph()
    graph.add_nodes_from(f"v{i}" for i in draw(st.permutations(range(size))))
    graph.add_edges_from(
        (f"v{a}", f"v{b}") for a, b in (draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])
    )
    return graph


@settings(deadline=None)
@given(graphs())
@pytest.mark.slow
def test_causes_are_above_their_effects_and_no_box_is_on_another(graph):
    places, bends = layered(graph)
    assert set(places) == set(graph)
    assert all(places[cause][1] + 1 <= places[effect][1] for cause, effect in graph.edges)
    for one, other in itertools.combinations(places.values(), 2):
        assert abs(one[0] - other[0]) >= 1 - 1e-9 or abs(one[1] - other[1]) >= 1
    assert min([y for _, y in places.values()], default=0) == 0
    for (cause, effect), path in bends.items():
        rows = [places[cause][1], *(y for _, y in path), places[effect][1]]
        assert rows == pytest.approx([rows[0] + i for i in range(len(rows))])
        assert all(abs(x - u) >= 1 - 1e-9 for x, y in path for u, v in places.values() if y == v)


def test_two_parents_of_one_child_do_not_cross():
    graph = nx.DiGraph([("a", "x"), ("b", "y"), ("a", "y2"), ("b", "x2")])
    places, _ = layered(graph)
    ends = [(places[cause][0], places[effect][0]) for cause, effect in graph.edges]
    assert all((a - c) * (b - d) >= 0 for (a, b), (c, d) in itertools.combinations(ends, 2))


@pytest.mark.slow
def test_a_picture_is_the_same_in_another_process():
    code = (
        "import networkx as nx; from steepest.causal.drawing.layout import layered;"
        "print(layered(nx.gn_graph(30, seed=1).reverse()));"
        "print(layered(nx.DiGraph([(chr(97 + i), chr(98 + i)) for i in range(9)])))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]


def test_the_picture_is_xml_and_a_name_is_no_markup():
    graph = nx.DiGraph([("<b>&", "b" * 40)])
    graph.add_node("alone")
    text = draw_graph(graph, [Arrow("<b>&", "b" * 40, 0.5, True, "<i>half</i>")], {"alone": "no <edges>"}, alone=True)
    root = ElementTree.fromstring(text)
    names = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert names[0] == "<b>&"
    assert len(names[1]) <= 18
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["<i>half</i>", "<b>&", "b" * 40, "alone: no <edges>"]
    (edge,) = (e for e in root.iter("{http://www.w3.org/2000/svg}path") if "edge" in e.get("class", ""))
    assert edge.get("class") == "edge open"
    assert edge.get("stroke-width") == "2.00"


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_nothing_is_drawn_beyond_the_picture(graph):
    arrows = [Arrow(cause, effect, 1.0, False, "") for cause, effect in graph.edges]
    root = ElementTree.fromstring(draw_graph(graph, arrows, {}, alone=True))
    _, _, wide, high = map(float, root.get("viewBox").split())
    for path in root.iter("{http://www.w3.org/2000/svg}path"):
        if "edge" in path.get("class", ""):
            pairs = re.findall(r"(-?[\d.]+),(-?[\d.]+)", path.get("d"))
            assert all(0 < float(x) < wide and 0 < float(y) < high for x, y in pairs)


def test_an_edge_goes_from_border_to_border_through_its_bends():
    assert curve([(0.0, 0.0), (10.0, 84.0)]) == "M0.0,14.0 C0.0,41.0 10.0,41.0 10.0,68.0"
    assert curve([(0.0, 0.0), (50.0, 84.0), (0.0, 168.0)]).count("C") == 2
    assert curve([(0.0, 168.0), (0.0, 0.0)]).startswith("M0.0,154.0")
