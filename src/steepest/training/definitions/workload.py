"""What is trained: model, data, loss, metric and the size of a run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from steepest.training.definitions import fields


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of rows whose largest output is the target's: ``outputs`` (N, classes), ``targets`` (N,) integers.

    Example:
        >>> import torch
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        tensor(0.5000)
    """
    return (outputs.argmax(dim=-1) == targets).float().mean()


@dataclass(frozen=True)
class Workload:
    """A training problem on which optimizers are compared.

    Args:
        name: shown in the report, and the study's folder.
        data: called with the folder of ``--data-dir`` or ``STEEPEST_DATA``, or ``None``. Returns training, validation
            and test data, always the same: three :class:`steepest.data.Split`, pairs of tensors or map-style datasets.
        model: builds a fresh model; its random initial weights come from torch's global generator, which the run seeds.
        batch_size: samples per gradient evaluation.
        epochs: passes over the training data that one run may pay for, in gradient evaluations.
        target: value of the validation metric whose first reaching is counted.
        loss: ``loss(outputs, targets)``, the mean over the batch, a 0-dim tensor.
        metric: ``metric(outputs, targets)``, the mean over the batch.
        metric_name: its name in the report.
        higher_is_better: the direction of the metric.
        percent: show the metric times 100, with a percent sign.
        description: one line.
        augment: ``augment(inputs, generator)``, the inputs of a training batch changed at random, by numbers from
            ``generator`` alone: it lies on the device of the inputs, and the run seeds it.
        evaluation_batch: samples that are evaluated at a time; a question of memory only.
        training_step: ``training_step(model, batch)``, the mean loss over a nested batch, a 0-dim tensor; in the place
            of ``loss``, for samples of any kind. ``data`` then returns three datasets: map-style ones, sequences,
            DataLoaders of them, whose ``collate_fn`` and ``num_workers`` are taken over, or for training an iterable
            dataset whose length is that of an epoch. Whatever estimator wants a part of a batch gets it as a batch of
            those samples.
        evaluation_step: with it, ``evaluation_step(model, batch)``, under ``torch.no_grad()``: a mapping to means over
            the batch, ``"loss"`` among them, and the metric if it is one; ``"outputs"`` and ``"targets"`` are collected
            for ``metrics``.
        collate: with it, makes a batch of a list of samples; by default that of the DataLoader, or torch's.
        metrics: by their names, what is computed over a whole split: functions of all outputs and all targets, tensors
            concatenated and others as lists of batches, or objects with ``reset``, ``update(outputs, targets)`` and
            ``compute``, as torchmetrics has them. That of ``metric_name`` is the study's, in the place of ``metric``;
            the others are shown beside.
        function: see :meth:`from_function`.

    What a model keeps from step to step belongs into parameters and buffers, or into attributes that are numbers or
    strings, so that a run that is interrupted can resume.

    Raises:
        ValueError: a field is not what it must be: a number below 1, an empty name, a model in the place of a function.
    """

    name: str
    data: Callable[[Path | None], Iterable[object]]
    model: Callable[[], nn.Module]
    batch_size: int
    epochs: int
    target: float
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    metric: Callable[[Tensor, Tensor], Tensor] = accuracy
    metric_name: str = "accuracy"
    higher_is_better: bool = True
    percent: bool = True
    description: str = ""
    augment: Callable[[Tensor, Generator], Tensor] | None = None
    evaluation_batch: int = 2000
    training_step: Callable[[nn.Module, Any], Tensor] | None = None
    evaluation_step: Callable[[nn.Module, Any], Mapping[str, Any]] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        fields.named("a workload's name", self.name)
        of = f"workload {self.name!r}: "
        for name in ("batch_size", "epochs", "evaluation_batch"):
            object.__setattr__(self, name, fields.positive(f"{of}{name}", getattr(self, name)))
        object.__setattr__(self, "target", fields.number(f"{of}target", self.target))
        fields.function(f"{of}data", self.data, "of the data folder that returns three parts")
        fields.maker(f"{of}model", self.model)
        for name in ("loss", "metric"):
            fields.function(f"{of}{name}", getattr(self, name), "of outputs and targets")
        if self.augment is not None:
            fields.function(f"{of}augment", self.augment, "of inputs and a generator")
        for name in ("metric_name", "description"):
            fields.text(f"{of}{name}", getattr(self, name))
        for name in ("higher_is_better", "percent"):
            fields.flag(f"{of}{name}", getattr(self, name))
        self._check_steps(of)
        for name, metric in fields.table(f"{of}metrics", self.metrics).items():
            if not callable(metric) and not callable(getattr(metric, "compute", None)):
                raise ValueError(f"{of}metrics[{name!r}] must be a function or have update and compute, got {metric!r}")

    def _check_steps(self, of: str) -> None:
        if (self.training_step is None) != (self.evaluation_step is None):
            raise ValueError(f"{of}give training_step and evaluation_step, or neither")
        if self.training_step is None:
            if self.collate is not None:
                raise ValueError(f"{of}collate makes batches for training_step, which is not given")
            return
        fields.function(f"{of}training_step", self.training_step, "of a model and a batch that returns the loss")
        fields.function(f"{of}evaluation_step", self.evaluation_step, "of a model and a batch that returns a mapping")
        if self.collate is not None:
            fields.function(f"{of}collate", self.collate, "of a list of samples")
        if self.augment is not None:
            raise ValueError(f"{of}augment is of inputs in one tensor; with training_step let the dataset do it")

    @classmethod
    def from_lightning(
        cls,
        module: Callable[[], nn.Module],
        datamodule: Any,
        *,
        name: str,
        epochs: int,
        target: float,
        metric_name: str = "val_acc",
        loss_name: str = "val_loss",
        **options: Any,
    ) -> "Workload":
        """A LightningModule and its data. Its optimizers and schedules are left to the study.

        ``training_step`` and ``validation_step`` are called as Lightning calls them, the latter on validation and test
        data; what it logs are the means, ``metric_name`` and ``loss_name`` among them, or it returns the loss. Other
        hooks, callbacks and the Trainer are not there.

        Args:
            module: builds the module, such as its class.
            datamodule: a LightningDataModule, or a function that makes one; its three loaders say the data, the collate
                function, workers and, unless ``batch_size`` is given, the batch size.
            options: further arguments of :class:`Workload`.

        Raises:
            InputError: the module steps its optimizers itself, or lacks one of the two steps.
        """
        from steepest.training.adapters.lightning import workload_from_lightning

        more = {"name": name, "epochs": epochs, "target": target, **options}
        return workload_from_lightning(module, datamodule, loss_name=loss_name, metric_name=metric_name, **more)

    @classmethod
    def from_hugging_face(
        cls,
        model_init: Callable[[], nn.Module],
        dataset: Any,
        args: Any = None,
        compute_metrics: Callable[[Any], Mapping[str, float]] | None = None,
        *,
        name: str,
        target: float,
        metric_name: str = "accuracy",
        data_collator: Callable[[list[Any]], Any] | None = None,
        labels: str = "labels",
        **options: Any,
    ) -> "Workload":
        """What goes into a Trainer of Hugging Face. How it is trained is the study's to say:
        :func:`steepest.training.adapters.hugging_face.recipe_of` has the options for what ``args`` say.

        Args:
            model_init: builds the model, whose output has ``loss`` and ``logits``.
            dataset: a ``DatasetDict``, or a mapping to map-style datasets, with ``"train"``, ``"validation"`` and
                ``"test"``; or a function that makes one.
            args: ``TrainingArguments``, of which batch sizes, accumulation and epochs are taken.
            compute_metrics: as Trainer takes it; what it returns has ``metric_name``, and all else is shown beside.
                Without it the metric is the accuracy.
            data_collator: as Trainer takes it, such as ``DataCollatorWithPadding(tokenizer)``.
            labels: what of a batch is compared with the logits.
            options: further arguments of :class:`Workload`.

        Raises:
            InputError: transformers is not installed.
        """
        from steepest.training.adapters.hugging_face import workload_from_hugging_face

        return workload_from_hugging_face(
            model_init, dataset, args, compute_metrics, name=name, target=target, metric_name=metric_name,
            data_collator=data_collator, labels=labels, **options,
        )  # fmt: skip

    @classmethod
    def from_function(
        cls,
        function: Callable[[Any], object],
        *,
        name: str,
        steps: int,
        target: float,
        validations: int = 10,
        **options: Any,
    ) -> "Workload":
        """A training function, called as ``function(run)``: the widest door, through which less can be promised.

        ``run`` is a :class:`~steepest.training.FunctionRun`: the function makes its optimizer by
        ``run.optimizer(model)``, steps it ``run.steps`` times, and tells of validations by
        ``run.report(metric, loss)``, which returns whether to stop, and in the end of the test data by
        ``run.test(metric)``. It may do all else as it likes. Seeds, lr, schedule and the count of steps are the
        study's. What the study cannot see rests on the function, and the report says so: that the steps of all methods
        take the same data and as many gradients, and that test data is no part of training. A run that is interrupted
        begins anew. Methods that need batches or the model are refused, as are instruments and recipes other than a
        warm-up.

        Args:
            steps: of an optimizer that pays one gradient evaluation each; a multiple of ``validations``.
            validations: in what parts ``--epochs`` counts, and shorter budgets are cut.
            options: further arguments of :class:`Workload`, such as ``metric_name``.

        Raises:
            ValueError: an argument is not what it must be.

        Example:
            >>> import torch
            >>> def fit(run):
            ...     weight = torch.nn.Linear(1, 1, bias=False)
            ...     optimizer = run.optimizer(weight)
            ...     for step in range(run.steps):
            ...         optimizer.zero_grad()
            ...         loss = (weight.weight - 3).square().sum()
            ...         loss.backward()
            ...         optimizer.step()
            ...         if step % 10 == 9 or step + 1 == run.steps:  # of which a short run has fewer
            ...             if run.report(metric=-loss, loss=loss):
            ...                 return
            ...     run.test(metric=-loss)
            >>> Workload.from_function(fit, name="three", steps=100, target=-0.01, percent=False).epochs
            10
        """
        from steepest.training.adapters.function import workload_from_function

        more = {"target": target, **options}
        return workload_from_function(function, name=name, steps=steps, validations=validations, **more)

    @property
    def has_steps(self) -> bool:
        """Whether it says itself how a batch is trained on, so that samples may be anything."""
        return self.training_step is not None
