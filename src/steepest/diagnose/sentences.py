"""What a diagnosis says in words: no more than the numbers do."""

from typing import Any

from steepest.diagnose.result import Diagnosis
from steepest.page.text import count, format_duration


def show_metric(found: Diagnosis, value: float | None) -> str:
    """A metric as the workload has it."""
    if value is None:
        return "-"
    return f"{100 * value:.2f}\N{NO-BREAK SPACE}%" if found.settings["percent"] else f"{value:.4g}"


def headline_of(found: Diagnosis) -> str:
    """How the run ended."""
    if found.run["diverged"]:
        return f"The run diverged after {found.run['gradient_evaluations']:,} gradient evaluations."
    return f"Test {found.settings['metric']} {show_metric(found, found.run['test_metric'])}."


def facts_of(found: Diagnosis) -> str:
    """What was run."""
    settings, run = found.settings, found.run
    values = ", ".join(f"{name} {_shown(value)}" for name, value in settings["hyperparameters"].items())
    return " · ".join(
        [
            values,
            f"schedule {settings['schedule']}",
            f"{run['gradient_evaluations']:,} gradient evaluations",
            f"batch size {settings['batch_size']}",
            f"{count(run['parameters'], 'weight')}",
            f"seed {settings['seed']}",
            settings["device"],
            f"{format_duration(run['seconds'])} of training, {format_duration(run['seconds_in_all'])} in all",
        ]
    )


def sentences_of(found: Diagnosis) -> list[str]:
    """What the instruments say, one sentence each."""
    said = [_say_noise(found), _say_curvature(found), _say_covariance(found)]
    return [sentence for sentence in said if sentence]


def _say_noise(found: Diagnosis) -> str:
    scales = [row["noise_scale"] for row in found.seen if "trace" in row.get("noise_scale", {})]
    if not scales:
        return ""
    first, last, batch = scales[0], scales[-1], found.settings["batch_size"]
    sentence = f"The gradient noise scale: {_interval(first)} at the beginning, {_interval(last)} at the end"
    if last["low"] > batch:
        return f"{sentence}. There a batch of {batch} is mostly noise, and a larger one is more progress a step."
    if last["high"] is not None and last["high"] < batch:
        return f"{sentence}. There a batch of {batch} is mostly signal, and a smaller one would do nearly as well."
    return f"{sentence}; the batch was {batch}."


def _interval(scale: dict[str, Any]) -> str:
    if scale["high"] is not None and scale["value"] is not None:
        return f"{scale['value']:,.0f} samples ({scale['low']:,.0f} to {scale['high']:,.0f})"
    if scale["low"] >= 1:
        return f"at least {scale['low']:,.0f} samples"
    return f"not to be measured with {scale['samples']:,} samples"


def _say_curvature(found: Diagnosis) -> str:
    tops = [row["hessian_eigenvalues"]["eigenvalues"] for row in found.seen if _has_eigenvalues(row)]
    if not tops:
        return ""
    sentence = f"The largest Hessian eigenvalue went from {tops[0][0]:.3g} to {tops[-1][0]:.3g}"
    lowest = found.end.get("smallest_eigenvalues", {}).get("eigenvalues")
    return sentence + (f"; the smallest is {lowest[-1]:.3g} at the end." if lowest else ".")


def _has_eigenvalues(row: dict[str, Any]) -> bool:
    return bool(row.get("hessian_eigenvalues", {}).get("eigenvalues"))


def _say_covariance(found: Diagnosis) -> str:
    seen = found.end.get("gradient_covariance", {})
    if not seen.get("trace"):
        return ""
    sentence = (
        f"Of {seen['samples']} samples' gradients the noise has an effective rank of {seen['effective_rank']:.3g}"
    )
    return f"{sentence}."


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
