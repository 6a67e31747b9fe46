"""The points that a search by TPE tries: each is asked for once those before it have ended."""

import functools
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from steepest.compare.records.record import Record
from steepest.training.definitions.range import Choice
from steepest.training.definitions.space import Space, is_met, parents_first


class _Tried(NamedTuple):
    """Hold a point as JSON, its score, and for a run that was stopped early what was seen of it, and when."""

    point: str
    score: float | None
    seen: tuple[int, float] | None


def ask(space: Space, ended: Sequence[Record], seed: int, *, higher_is_better: bool) -> dict[str, Any]:
    """The next point of a search, from the runs of all points before it, in their order.

    It depends on these, the seed and the release of Optuna, and on nothing else: not on when they ended, nor in which
    process. A run that diverged or failed is worse than every other; of one that was stopped early counts what was seen
    of it, after all that came to their end.

    Source: J. Bergstra et al., "Algorithms for hyper-parameter optimization" (2011), the tree-structured Parzen
    estimator; ``optuna.samplers.TPESampler``, with all hyperparameters in one density.
    """
    tried = tuple(_Tried(json.dumps(r.hyperparameters), r.found, _seen(r)) for r in ended)
    key = json.dumps({name: repr(domain) for name, domain in space.items()})
    return dict(_ask(_Space(key, space), tried, _seed_of(seed, len(ended)), higher_is_better))


class _Space:
    """Hold a space that a cache can tell from others."""

    def __init__(self, key: str, domains: Space) -> None:
        self.key, self.domains = key, domains

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Space) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _seen(record: Record) -> tuple[int, float] | None:
    if record.status != "pruned" or record.validation_metric is None:
        return None
    return record.gradient_evaluations or 0, record.validation_metric


def _seed_of(seed: int, number: int) -> int:
    """Derive the seed of a point: a process that goes on with a search draws what the first would have."""
    return int.from_bytes(hashlib.sha256(f"tpe {seed} {number}".encode()).digest()[:4], "big")


@functools.lru_cache(maxsize=1024)  # a study asks again whenever it looks where it stands
def _ask(space: _Space, tried: tuple[_Tried, ...], seed: int, higher_is_better: bool) -> Mapping[str, Any]:
    import optuna  # a second, which only a study with this sampler takes

    from steepest.compare.records.optuna_tools import distributions, quiet

    domains = space.domains
    known = distributions(domains)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        grouped = any(domain.when for domain in domains.values())
        sampler = optuna.samplers.TPESampler(n_startup_trials=0, seed=seed, multivariate=True, group=grouped)
        study = optuna.create_study(direction="maximize" if higher_is_better else "minimize", sampler=sampler)
        study.add_trials([_trial(each, domains, known) for each in tried])
        trial = study.ask()
        found: dict[str, Any] = {}
        for name in parents_first(domains):
            if not is_met(domains[name], found):
                continue
            domain = domains[name]
            if isinstance(domain, Choice):
                choices = known[name].choices
                found[name] = domain.values[choices.index(trial.suggest_categorical(name, choices))]
            elif domain.integer:
                found[name] = trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
            else:
                found[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return {name: found[name] for name in domains if name in found}


def _trial(tried: _Tried, space: Space, known: Mapping[str, Any]) -> Any:
    import optuna

    from steepest.compare.records.distributions import plain_values
    from steepest.training.definitions.conditions import point_of

    point = {name: value for name, value in point_of(json.loads(tried.point)).items() if name in space}
    state = optuna.trial.TrialState.PRUNED if tried.score is None else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        value=tried.score,
        params=plain_values(point),
        distributions={name: known[name] for name in point},
        intermediate_values=dict([tried.seen] if tried.seen else []),
    )
