"""Networks in the BIF format: what is read, what is drawn from them, and what is refused."""

import gzip

import numpy as np
import pytest
from scipy import stats

from steepest._errors import InputError
from steepest.causal import CausalOrder, cpdag, shd
from steepest.causal.networks import read_bif

TEXT = """network unknown {
}
variable rain {
  type discrete [ 2 ] { yes, no };
}
variable wet-grass {
  type discrete [ 3 ] { dry, damp, wet };
}
variable sprinkler {
  type discrete [ 2 ] { on, off };
}
probability ( rain ) {
  table 0.2, 0.8;
}
probability ( sprinkler | rain ) {
  (yes) 0.1, 0.9;
  (no) 0.4, 0.6;
}
probability ( wet-grass | rain, sprinkler ) {
  (yes, on) 0.0, 0.1, 0.9;
  (yes, off) 0.1, 0.2, 0.7;
  default 0.8, 0.15, 0.05;
}
"""


@pytest.fixture
def network(tmp_path):
    (tmp_path / "n.bif").write_text(TEXT)
    return read_bif(tmp_path / "n.bif")


def test_it_is_read(network, tmp_path):
    assert network.levels["wet-grass"] == ["dry", "damp", "wet"]
    assert network.parents == {"rain": [], "wet-grass": ["rain", "sprinkler"], "sprinkler": ["rain"]}
    assert network.tables["wet-grass"][0, 1].tolist() == [0.1, 0.2, 0.7]
    assert network.tables["wet-grass"][1, 0].tolist() == [0.8, 0.15, 0.05]
    assert network.adjacency.tolist() == [[0, 1, 1], [0, 0, 0], [0, 1, 0]]
    (tmp_path / "n.bif.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert read_bif(tmp_path / "n.bif.gz").parents == network.parents


def test_rows_have_its_probabilities(network):
    data = network.sample(40_000, seed=1)
    for rain, sprinkler in (("yes", "on"), ("no", "off")):
        rows = data[(data["rain"] == rain) & (data["sprinkler"] == sprinkler)]
        counts = rows["wet-grass"].value_counts().reindex(["dry", "damp", "wet"], fill_value=0).to_numpy()
        chances = network.tables["wet-grass"][int(rain == "no"), int(sprinkler == "off")]
        seen = chances > 0
        assert counts[~seen].sum() == 0
        assert stats.chisquare(counts[seen], chances[seen] * counts.sum()).pvalue > 1e-3
    assert data.equals(network.sample(40_000, seed=1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "variable a {\n type discrete [ 2 ] { x, y };\n}",
        TEXT.replace("(yes) 0.1, 0.9;\n", ""),
        TEXT.replace("(yes) 0.1", "(maybe) 0.1"),
        TEXT.replace("0.2, 0.8", "0.2"),
        TEXT.replace("0.4", "x"),
    ],
)
def test_what_is_no_network_is_one_sentence(text, tmp_path):
    (tmp_path / "n.bif").write_text(text)
    with pytest.raises(InputError, match=r"n\.bif (cannot be read as a network|must hold a probability for each)"):
        read_bif(tmp_path / "n.bif")


@pytest.mark.slow
def test_a_known_network_is_found_again(real_data):
    network = read_bif(real_data / "bnlearn" / "asia.bif.gz")
    model = CausalOrder("discrete-bic").fit(network.sample(5000))
    kept = [list(network.levels).index(name) for name in model.names_]
    truth = cpdag(network.adjacency[np.ix_(kept, kept)])
    assert shd(model.cpdag_, truth) <= 4
