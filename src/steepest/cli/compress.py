"""``steepest compress``: a trained network, made small within a budget."""

from pathlib import Path
from typing import Annotated

import typer

from steepest._errors import InputError, argument
from steepest.cli.experiments import Bar, tell
from steepest.cli.options import DATA_DIR


def compress(
    subject: Annotated[
        str,
        typer.Argument(
            help="A workload, by a built-in name, path/to/file.py:name or package.module:name, whose network is "
            "trained first; or the weights of one, FILE.safetensors.",
            show_default=False,
            metavar="SUBJECT",
        ),
    ],
    budget: Annotated[
        float, typer.Option(help="What may be lost on validation data, in points: percent, or the metric's own unit.")
    ] = 1.0,
    sparsity: Annotated[
        str, typer.Option(help="The share of weights that is pruned; several with commas, the smallest file is kept.")
    ] = "0.8",
    mode: Annotated[
        str, typer.Option(help="straight-through, sigma and signs are trained, or project, after every epoch.")
    ] = "straight-through",
    method: Annotated[str, typer.Option(help="The optimizer, a plain one; see 'steepest methods'.")] = "sgd",
    lr: Annotated[
        float | None,
        typer.Option(help="Its lr. Default: the middle of its range.", show_default=False),
    ] = None,
    schedule: Annotated[str, typer.Option(help="Of the lr, anew for each layer.")] = "linear",
    epochs_per_layer: Annotated[int, typer.Option(help="Of training for each layer.")] = 1,
    retrain_epochs: Annotated[
        int | None, typer.Option(help="After pruning. Default: as for a layer.", show_default=False)
    ] = None,
    exempt: Annotated[
        str | None,
        typer.Option(help="Modules or weights that are left alone, with commas; also first, last.", show_default=False),
    ] = None,
    embeddings: Annotated[bool, typer.Option(help="Take embeddings, too.")] = False,
    recurrent: Annotated[bool, typer.Option(help="Take LSTM, GRU and RNN layers, too.")] = False,
    order: Annotated[
        str, typer.Option(help="sparsest first; to compare: densest, random, or all layers together.")
    ] = "sparsest",
    clip: Annotated[
        float | None, typer.Option(help="Keep weights below within so many sigma.", show_default=False)
    ] = None,
    sigma_lr: Annotated[float, typer.Option(help="The lr of sigma, as a multiple.")] = 1.0,
    workload: Annotated[
        str | None, typer.Option(help="Of a CHECKPOINT that does not say it itself.", show_default=False)
    ] = None,
    base_method: Annotated[
        str | None, typer.Option(help="The optimizer of the base network. Default: sgd.", show_default=False)
    ] = None,
    base_lr: Annotated[
        float | None, typer.Option(help="Its lr. Default: the middle of its range.", show_default=False)
    ] = None,
    base_epochs: Annotated[
        int | None, typer.Option(help="Of its training. Default: the workload's.", show_default=False)
    ] = None,
    rivals: Annotated[
        bool, typer.Option(help="Make the same network small by pruning alone, at the same bytes, and in 8 bits.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of everything that is random.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: the GPU if there is one.")] = "auto",
    data_dir: Annotated[Path | None, DATA_DIR] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder. Default: compress/SUBJECT.", metavar="DIR")
    ] = None,
) -> int:
    """Make a trained network small, layer by layer, within a budget of accuracy; writes the file and a page.

    The same command again computes nothing twice.
    """
    from steepest.compression.experiments.experiment import Settings, shrink
    from steepest.compression.experiments.page import FILES, comparison_of, story_of

    settings = Settings(
        subject=subject,
        budget=budget,
        sparsity=tuple(_share(part) for part in sparsity.split(",")),
        mode=mode,
        method=method,
        lr=lr,
        schedule=schedule,
        epochs_per_layer=epochs_per_layer,
        retrain_epochs=retrain_epochs,
        exempt=() if exempt is None else tuple(exempt.split(",")),
        embeddings=embeddings,
        recurrent=recurrent,
        order=order,
        clip=clip,
        sigma_lr=sigma_lr,
        workload=workload,
        base_method=base_method,
        base_lr=base_lr,
        base_epochs=base_epochs,
        rivals=rivals,
        seed=seed,
        device=device,
    )
    where = folder or Path("compress", Path(subject.replace(":", "-")).name.removesuffix(".safetensors"))
    with Bar() as bar:
        found = shrink(settings, where, data_dir, bar.show)
    return tell(
        where, story_of(found), "compress.html.j2", "steepest.compression", FILES, comparison=comparison_of(found)
    )


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{argument('sparsity')} must be shares such as 0.8,0.9, got {text!r}") from None
