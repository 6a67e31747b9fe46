"""``steepest spiking``: images recognised by spikes."""

from pathlib import Path
from typing import Annotated

import typer

from steepest.cli.experiments import Bar, tell
from steepest.cli.options import DATA_DIR


def spiking(
    dataset: Annotated[
        str, typer.Argument(help="mnist, fashion-mnist or emnist.", show_default=False, metavar="DATASET")
    ],
    maps: Annotated[int, typer.Option(help="Filters of the convolution.")] = 30,
    images: Annotated[int, typer.Option(help="That the filters learn from.")] = 6000,
    kernel_size: Annotated[int, typer.Option(help="Side of a filter.")] = 5,
    threshold: Annotated[float, typer.Option(help="Of a potential, from which on a neuron spikes.")] = 15.0,
    radius: Annotated[int, typer.Option(help="Around a winner in which no other map learns.")] = 5,
    history: Annotated[int, typer.Option(help="Images that homeostasis looks back on; 0 is none.")] = 5,
    contrast: Annotated[float, typer.Option(help="Grey levels below which the input is silent.")] = 50.0,
    filters: Annotated[
        str, typer.Option(help="stdp; to compare: initial, as they begin, or random, of the same mean.")
    ] = "stdp",
    pixels: Annotated[bool, typer.Option("--pixels", help="To compare: leave the features out.")] = False,
    hidden: Annotated[int, typer.Option(help="Units of the classifier.")] = 1500,
    activation: Annotated[str, typer.Option(help="binary; to compare: relu or sigmoid.")] = "binary",
    surrogate: Annotated[
        str, typer.Option(help="For the step's derivative: box, two-sided, straight-through, relu, sigmoid, arctan.")
    ] = "box",
    tau: Annotated[float, typer.Option(help="The surrogate's width.")] = 0.5,
    dropout: Annotated[float, typer.Option(help="Of hidden units.")] = 0.0,
    method: Annotated[str, typer.Option(help="That trains the classifier; see 'steepest methods'.")] = "sgd",
    lr: Annotated[
        float | None, typer.Option(help="Its lr. Default: the middle of its range.", show_default=False)
    ] = None,
    schedule: Annotated[str, typer.Option(help="Of the lr.")] = "linear",
    epochs: Annotated[int, typer.Option(help="Of the classifier.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Of the classifier.")] = 100,
    train_images: Annotated[
        int | None, typer.Option(help="Of the classifier. Default: all there are.", show_default=False)
    ] = None,
    feature_seed: Annotated[int, typer.Option(help="Of the filters and the images that they learn from.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the classifier.")] = 0,
    device: Annotated[str, typer.Option(help="Of the classifier: cpu, cuda, cuda:1, mps, or auto.")] = "auto",
    data_dir: Annotated[Path | None, DATA_DIR] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder. Default: spiking/DATASET.", metavar="DIR")
    ] = None,
) -> int:
    """Grow features of images by STDP, without labels, and train a binary classifier on them; ends in a page.

    The same command again computes nothing twice. Features are kept in ~/.cache/steepest, or in STEEPEST_CACHE.
    """
    from markupsafe import Markup

    from steepest.page.data import to_json
    from steepest.spiking.experiments.experiment import Settings, recognize
    from steepest.spiking.experiments.page import FILES, pictures_of, story_of

    settings = Settings(
        dataset=dataset,
        maps=maps,
        images=images,
        kernel_size=kernel_size,
        threshold=threshold,
        radius=radius,
        history=history,
        contrast=contrast,
        filters=filters,
        pixels=pixels,
        hidden=hidden,
        activation=activation,
        surrogate=surrogate,
        tau=tau,
        dropout=dropout,
        method=method,
        lr=lr,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        train_images=train_images,
        feature_seed=feature_seed,
        seed=seed,
        device=device,
    )
    where = folder or Path("spiking", dataset)
    with Bar() as bar:
        found = recognize(settings, where, data_dir, bar.show)
    pictures = pictures_of(found)
    return tell(
        where,
        story_of(found),
        "spiking.html.j2",
        "steepest.spiking",
        FILES,
        pictures=pictures,
        pictures_json=Markup(to_json(pictures)) if pictures else "",
    )
