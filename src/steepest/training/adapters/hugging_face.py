"""What goes into a Trainer of Hugging Face as a workload, and its arguments as a recipe."""

import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest.training.definitions.workload import Workload

_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant"}


def workload_from_hugging_face(
    model_init: Callable[[], nn.Module],
    dataset: Any,
    args: Any,
    compute_metrics: Callable[[Any], Mapping[str, float]] | None,
    *,
    name: str,
    metric_name: str,
    data_collator: Callable[[list[Any]], Any] | None,
    labels: str,
    **options: Any,
) -> Workload:
    """What :meth:`Workload.from_hugging_face` makes."""
    if find_spec("transformers") is None:
        raise InputError(
            "transformers is not installed, whose collator and metrics are called; pip install transformers"
        )
    if args is not None:
        options.setdefault("batch_size", args.per_device_train_batch_size * args.gradient_accumulation_steps)
        options.setdefault("epochs", round(args.num_train_epochs))
        options.setdefault("evaluation_batch", args.per_device_eval_batch_size)
    if compute_metrics is not None:
        options["metrics"] = {metric_name: _Metrics(compute_metrics)}
    return Workload(
        name,
        data=_Parts(dataset),
        model=model_init,
        training_step=training_step,
        evaluation_step=_Evaluation(labels),
        collate=_Collate(data_collator),
        metric_name=metric_name,
        **options,
    )


def recipe_of(args: Any, samples: int) -> dict[str, Any]:
    """What a study is to be asked for to train as ``TrainingArguments`` say: schedule, warm-up, clipping, accumulation
    and precision; all else that they say is of Trainer's own.

    Args:
        args: a ``transformers.TrainingArguments``.
        samples: of the training data.

    Raises:
        InputError: the schedule is none that a study has.
    """
    kind = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    if kind not in _SCHEDULES:
        raise InputError(f"lr_scheduler_type must be one of {', '.join(_SCHEDULES)}, got {kind!r}")
    batch = args.per_device_train_batch_size * args.gradient_accumulation_steps
    steps = round(args.num_train_epochs) * (samples // batch)
    warmup = float(args.warmup_steps or 0)
    precision = "bfloat16" if args.bf16 else "float16" if args.fp16 else "tf32" if args.tf32 else "float32"
    return {
        "schedule": _SCHEDULES[kind],
        "warmup": warmup if warmup < 1 else warmup / steps,
        "clip": float(args.max_grad_norm) if args.max_grad_norm else None,
        "accumulate": args.gradient_accumulation_steps,
        "precision": precision,
    }


class _Parts:
    """Find the parts of a ``DatasetDict`` under the names that they usually have."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __call__(self, folder: Path | None) -> list[Any]:
        found = self._dataset() if callable(self._dataset) else self._dataset
        names = list(found) if isinstance(found, Mapping) else []
        if missing := [name for name in ("train", "validation", "test") if name not in names]:
            raise InputError(
                f"the dataset must have the parts 'train', 'validation' and 'test', and {missing[0]!r} is missing; it "
                f"has {', '.join(map(repr, names)) or 'none'}"
            )
        return [found[name] for name in ("train", "validation", "test")]


class _Collate:
    """Trainer's own collator, or the user's; columns of text are left out, as Trainer does."""

    def __init__(self, collator: Callable[[list[Any]], Any] | None) -> None:
        self._collator = collator

    def __call__(self, samples: list[Any]) -> Any:
        if self._collator is None:
            from transformers import default_data_collator as collator
        else:
            collator = self._collator  # type: ignore[assignment]
        if samples and isinstance(samples[0], Mapping):
            texts = {name for name, value in samples[0].items() if isinstance(value, str)}
            samples = [{name: value for name, value in s.items() if name not in texts} for s in samples]
        return collator(samples)


def training_step(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """The loss that the model finds of itself."""
    found = model(**_list_known(model, batch))
    loss = found["loss"] if isinstance(found, Mapping) else found[0]
    if loss is None:
        raise InputError(f"{type(model).__name__} gave no loss; a batch must hold labels, got {', '.join(batch)}")
    return loss  # type: ignore[no-any-return]


def _list_known(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """List what the model's ``forward`` takes."""
    module: Any = getattr(model, "module", model)
    parameters = inspect.signature(module.forward).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()) and "labels" not in parameters:
        return dict(batch)
    return {name: value for name, value in batch.items() if name in parameters}


class _Evaluation:
    """Loss, outputs and labels of a batch."""

    def __init__(self, labels: str) -> None:
        self._labels = labels

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
        found = model(**_list_known(model, batch))
        targets = batch[self._labels]
        outputs = found["logits"]
        means = {"loss": found["loss"], "outputs": outputs, "targets": targets}
        if targets.ndim == 1 and outputs.ndim == 2 and not targets.is_floating_point():
            means["accuracy"] = (outputs.argmax(dim=1) == targets).float().mean()
        return means


class _Metrics:
    """Call ``compute_metrics`` as Trainer does, with arrays of NumPy."""

    def __init__(self, compute: Callable[[Any], Mapping[str, float]]) -> None:
        self._compute = compute

    def __call__(self, outputs: Any, targets: Any) -> Any:
        from transformers import EvalPrediction

        return self._compute(EvalPrediction(predictions=_to_array(outputs), label_ids=_to_array(targets)))


def _to_array(value: Any) -> Any:
    """Turn a tensor into an array; NumPy has no bfloat16."""
    if not isinstance(value, Tensor):
        return value
    return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
