"""Which point of a search is taken, and what that does to verdicts."""

import dataclasses
import importlib.util
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest

from steepest.compare import Study
from steepest.compare.analysis.choice import Tried
from steepest.compare.analysis.choice import choose as choose_among
from steepest.compare.analysis.search import search_of
from steepest.compare.records.record import Record
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze

GOOD = [0.81, 0.86, 0.90, 0.93, 0.94, 0.945, 0.965, 0.952, 0.95, 0.945, 0.93, 0.91]
LUCKY = [*GOOD[:3], 0.966, *GOOD[4:]]  # by a hair over the broad peak
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def spec_of(choice="fitted", workload="clouds"):
    spec = freeze(f"{TINY_FILE}:{workload}", [f"{TINY_FILE}:good"], trials=12)
    method = dataclasses.replace(spec.methods[0], points=tuple(r.hyperparameters for r in tuned(GOOD)))
    return dataclasses.replace(spec, choice=choice, methods=(method,))


def choose(spec, runs):
    return choose_among(spec, spec.methods[0], [Tried(r.trial, (r,)) for r in runs])


def search(spec, runs):
    return search_of(spec, spec.methods[0], {(r.phase, r.trial): r for r in runs})


def tuned(scores, losses=None):
    return [
        Record(
            "w", "good", "tune", i, 0, {"lr": math.exp(i / 2 - 7)}, "diverged" if x is None else "finished", 0.0, 1.0,
            validation_metric=x, validation_loss=None if losses is None else losses[i],
        )
        for i, x in enumerate(scores)
    ]  # fmt: skip


def test_the_fit_is_taken_and_not_the_luckiest_score():
    fitted = choose(spec_of(), tuned(LUCKY))
    assert choose(spec_of("best"), tuned(LUCKY)).record.trial == 3
    assert fitted.record.trial in (6, 7)
    assert not fitted.reason
    assert fitted.response.explained > 0.5


def test_lower_may_be_better():
    spec = spec_of(workload="marked")
    assert not spec.workload.higher_is_better
    upside_down = choose(spec, tuned([1 - x for x in LUCKY]))
    assert upside_down.record.trial == choose(spec_of(), tuned(LUCKY)).record.trial


def test_the_order_in_which_runs_end_does_not_matter():
    runs = tuned(LUCKY)
    first = search(spec_of(), runs).choice
    assert first == choose(spec_of(), runs)
    for seed in range(5):
        shuffled = [runs[i] for i in np.random.default_rng(seed).permutation(len(runs))]
        assert search(spec_of(), shuffled).choice == first


@pytest.mark.parametrize(
    ("scores", "trial", "reason"),
    [
        ([0.9, 0.8, 0.7, 0.95] + [None] * 8, 3, "fewer than 5 points have a score"),
        ([0.9] * 12, 4, "the better half of the scores are equal"),
        ([0.9, 0.91, None, 0.92, None, 0.915, 0.9, 0.6, 0.2, None, None, None], 3, "no score follows from the others"),
        ([0.8, 0.801, 0.799, 0.8, 0.802, 0.95, 0.8, 0.799, 0.801, 0.8, 0.8, 0.799], 5, "it stands out from what"),
    ],
    ids=["few", "equal", "scattered", "peak"],
)
def test_the_best_score_is_taken_where_the_fit_says_nothing(scores, trial, reason):
    losses = [abs(i - 4) + 1.0 for i in range(12)]
    choice = choose(spec_of(), tuned(scores, losses))
    assert choice.record.trial == trial
    assert choice.reason.startswith(reason)


def test_a_lost_run_is_never_taken():
    """Not even where the fit is highest."""
    scores = [*GOOD[:6], None, None, *GOOD[8:]]
    choice = choose(spec_of(), tuned(scores))
    assert not choice.reason
    assert choice.record.found is not None
    assert choose(spec_of(), tuned([None] * 12)) is None


def test_nothing_is_chosen_before_the_search_is_over():
    begun = search(spec_of(), tuned(LUCKY)[:11])
    assert (begun.chosen, begun.best.trial) == (None, 3)
    assert search(spec_of(), tuned(LUCKY)).chosen.trial in (6, 7)


def test_a_study_that_has_begun_goes_on_choosing_as_it_began(tmp_path):
    """Without being told to; whoever asks for the other is told."""

    def study(**more):
        shared = {"methods": [f"{TINY_FILE}:good"], "trials": 6, "seeds": 1, "jobs": 1, "out": tmp_path}
        return Study(f"{TINY_FILE}:clouds", **shared, **more)

    assert study().spec.shared.choice == "fitted"
    assert study(choice="best").run(progress=False)
    frozen = StudySpec.from_json((tmp_path / "spec.json").read_text())
    assert frozen.shared.choice == study().spec.shared.choice == "best"
    assert study().run(progress=False)
    with pytest.raises(Exception, match="choice differs: best there, fitted here"):
        study(choice="fitted").run(progress=False)
    with pytest.raises(Exception, match="choice must be one of fitted, best, got 'worst'"):
        study(choice="worst")


@pytest.fixture(scope="module")
def replayed():
    """The benchmark that replays searches on curves of real runs."""
    spec = importlib.util.spec_from_file_location("benchmarks_choice", BENCHMARKS / "choice.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def populations(real_data):
    path = real_data.parent / "verdict" / "populations.tar.xz"
    if not path.is_file():
        pytest.skip(f"no curves: {path}")
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read().decode().splitlines() for m in archive.getmembers() if m.isfile()}


@pytest.mark.parametrize(
    ("name", "agree", "below", "today"), [("digits", 0.70, 0.46, 0.48), ("fashion", 0.70, 0.50, 0.53)]
)
def test_two_searches_agree_more_often_and_choose_no_worse(replayed, populations, name, agree, below, today):
    curves = replayed.Curves(populations[f"pop_{name}.jsonl"])
    best, fitted = (curves.luck(curves.rule(choice)) for choice in ("best", "fitted"))
    assert best.agree == pytest.approx(today, abs=0.02)
    assert fitted.agree >= agree
    assert fitted.below <= below
    assert fitted.contradicted < best.contradicted


@pytest.mark.parametrize(("name", "agree", "below"), [("digits", 0.55, 0.35), ("fashion", 0.70, 0.50)])
def test_short_runs_first_choose_no_worse_than_the_best_single_score(replayed, populations, name, agree, below):
    curves = replayed.Curves(populations[f"pop_{name}.jsonl"], populations[f"pop_{name}_short.jsonl"])
    best, early = curves.luck(curves.rule("best")), curves.luck(curves.rule("fitted", screened=True))
    assert early.agree >= max(agree, best.agree + 0.05)
    assert early.below <= min(below, best.below)


@pytest.mark.parametrize("choice", ["best", "fitted"])
def test_finalists_on_two_seeds_choose_better(replayed, populations, choice):
    curves = replayed.Curves(populations["pop_digits.jsonl"])
    one, two = (curves.luck(curves.rule(choice), tuning_seeds=n) for n in (1, 2))
    assert two.below < one.below


def finalists_spec(choice="fitted", screen=None, seeds=()):
    spec = spec_of(choice)
    return dataclasses.replace(spec, finalists=4, screen=screen, more_tuning_seeds=seeds)


def whole(job, score, loss=None):
    status = "diverged" if score is None else "finished"
    return Record("w", "good", job.phase, job.index, job.seed, job.hyperparameters, status, 0.0, 1.0,
                  validation_metric=score, validation_loss=loss)  # fmt: skip


def searched(spec, scores, further):
    """A search whose first runs have these scores, and the others what ``further`` says of a point and a seed."""
    runs, points = {}, [p["lr"] for p in spec.points(spec.methods[0])]
    while not (found := search_of(spec, spec.methods[0], runs)).is_over:
        for job in found.jobs:
            point = points.index(job.hyperparameters["lr"])
            is_first = (job.phase == "screen") if spec.screen else job.index < spec.trials
            score = scores[point] if is_first else further(point, job.seed)
            runs[job.phase, job.index] = whole(job, score)
    return found


def test_the_finalists_run_on_every_seed_and_the_best_mean_is_taken():
    found = searched(finalists_spec("best", seeds=(7, 8)), LUCKY, lambda point, seed: 0.9 + 0.001 * point)
    second = [job for job in found.jobs if job.index >= 12]
    assert [job.seed for job in second] == [7] * 4 + [8] * 4
    points = [p["lr"] for p in finalists_spec().points(finalists_spec().methods[0])]
    assert [points.index(job.hyperparameters["lr"]) for job in second] == [3, 6, 7, 8] * 2  # by LUCKY's scores
    means = {i: np.mean([LUCKY[i], 0.9 + 0.001 * i, 0.9 + 0.001 * i]) for i in (3, 6, 7, 8)}
    assert found.choice.score == pytest.approx(max(means.values()))
    assert found.chosen.trial == max(means, key=means.get)


def test_with_a_fit_the_finalists_are_where_it_is_highest():
    found = searched(finalists_spec(seeds=(7,)), LUCKY, lambda point, seed: GOOD[point])
    points = [p["lr"] for p in finalists_spec().points(finalists_spec().methods[0])]
    assert sorted(points.index(job.hyperparameters["lr"]) for job in found.jobs if job.index >= 12) == [
        4,
        5,
        6,
        7,
    ]  # and not 3
    assert found.chosen.trial in (6, 7)


def test_a_finalist_that_is_lost_on_one_seed_is_not_taken():
    found = searched(finalists_spec("best", seeds=(7,)), LUCKY, lambda point, seed: None if point == 3 else 0.94)
    assert found.chosen.trial == 6
    assert searched(finalists_spec("best", seeds=(7,)), LUCKY, lambda point, seed: None).is_lost


def test_short_runs_say_where_and_whole_runs_what():
    short = [x - 0.2 for x in GOOD]
    found = searched(finalists_spec(screen=8), short, lambda point, seed: LUCKY[point])
    assert [r.phase for r in found.records].count("screen") == 12
    assert not found.choice.reason
    assert found.choice.response is not None
    assert found.chosen.hyperparameters in spec_of().methods[0].points[5:9]
    assert searched(finalists_spec(screen=8), [None] * 12, lambda point, seed: 0.9).is_lost


def test_a_screen_that_few_survive_keeps_those():
    short = [None] * 10 + [0.5, 0.6]
    found = searched(finalists_spec(screen=8), short, lambda point, seed: 0.8 + 0.01 * point)
    assert len([r for r in found.records if r.phase == "tune"]) == 2
    assert found.choice.score == pytest.approx(0.91)
    assert found.choice.reason == "fewer than 5 points have a score"
