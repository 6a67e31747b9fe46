"""The formats that a spec's file has had.

1 held one comparison and nothing else; 2 neither search points nor the digests of imported code; 3 repeated in each
comparison what is the study's, and knew of one instrument; 4 did not say how a search's point is chosen; 5 knew neither
short runs, nor finalists, nor looks."""

from dataclasses import fields
from typing import Any

from steepest.compare.spec.comparison import Shared

FORMAT = 6
SHARED = tuple(field.name for field in fields(Shared))
_NEWER = {
    "batch_size": None,
    "whole_epochs": False,
    "counted": False,
    "budget": "evaluations",
    "prices": None,
    "is_function": False,
}  # not written where they say nothing
_LINEAR_ONCE = "linear to 0, every step"  # what specs said when there was one schedule


def of_this_format(raw: dict[str, Any]) -> dict[str, Any]:
    """A spec's JSON as this version writes it.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    if raw["format"] == 1:
        raw = {"format": 2, "comparisons": [_of_format_1(raw)]}
    if raw["format"] in (2, 3):
        raw = _of_format_3(raw)
    if raw["format"] in (4, 5):
        raw = {**raw, "format": FORMAT}
    if raw["format"] != FORMAT:
        raise ValueError(f"its format is {raw['format']}, not {FORMAT}")
    return raw


def own_part(raw: dict[str, Any]) -> dict[str, Any]:
    """Of a comparison, what is not the study's."""
    return {name: value for name, value in raw.items() if name not in SHARED}


def without_newer(raw: Any) -> Any:
    """A spec's JSON without what says nothing and what older versions of this format did not know: to both it is the
    same study, by its digest too."""
    if isinstance(raw, dict):
        return {k: without_newer(v) for k, v in raw.items() if k not in _NEWER or v != _NEWER[k]}
    return [without_newer(item) for item in raw] if isinstance(raw, list | tuple) else raw


def _of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    del raw["format"]
    if raw.get("schedule") == _LINEAR_ONCE:
        raw["schedule"] = "linear"
    return {**raw, "name": raw["workload"]["name"], "targets": [raw["workload"]["target"]]}


def _of_format_3(raw: dict[str, Any]) -> dict[str, Any]:
    comparisons = [_with_instruments(comparison) for comparison in raw["comparisons"]]
    studies = [{name: value for name, value in c.items() if name in SHARED} for c in comparisons]
    if any(study != studies[0] for study in studies):
        raise ValueError("its comparisons differ in what is the study's")
    return {"format": 4, "study": studies[0], "comparisons": [own_part(c) for c in comparisons]}


def _with_instruments(raw: dict[str, Any]) -> dict[str, Any]:
    samples = raw.pop("sharpness_samples", 0)
    if not samples:
        return raw
    from steepest.training.builtin.instruments.sharpness import SHARPNESS, caption_of

    frozen = {
        name: getattr(SHARPNESS, name) for name in ("name", "label", "when", "number", "in_search", "description")
    }
    instrument = {**frozen, "reference": SHARPNESS.name, "source_sha256": None, "code": {}}
    caption = caption_of(samples, raw["workload"]["train_samples"])
    return {**raw, "instruments": [instrument], "captions": {SHARPNESS.name: caption}}
