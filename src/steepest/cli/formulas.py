"""``steepest formulas``: handwritten logic to text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steepest._errors import InputError, argument
from steepest.cli.experiments import Bar, tell
from steepest.cli.streams import err, out

if TYPE_CHECKING:
    from steepest.formulas.app.models import Models
    from steepest.formulas.reading import Formulas
    from steepest.formulas.recognition import Recognizer, Tested

PICTURES = (".png", ".jpg", ".jpeg")
CONFUSIONS = 10

formulas = typer.Typer(
    help="Handwritten formulas of first-order logic to text: read, train, test, and serve it all in a browser.",
    no_args_is_help=True,
)
_MODEL = typer.Option(
    help="A model's file, or the number of one of 'steepest formulas models'. Default: the one in use.",
    show_default=False,
    metavar="MODEL",
)
_DATA = typer.Option(
    help="Where the application keeps its data. Default: STEEPEST_FORMULAS, or the user's folder for data.",
    show_default=False,
    metavar="DIR",
)


@formulas.command()
def read(
    pages: Annotated[
        list[Path],
        typer.Argument(help="Pictures, PNG or JPEG, or folders of them.", show_default=False, metavar="PAGE..."),
    ],
    to: Annotated[str, typer.Option(help="unicode, latex, tptp, prover9 or ascii.")] = "unicode",
    model: Annotated[str | None, _MODEL] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Write boxes, alternatives and text there; a folder for several pages.", show_default=False
        ),
    ] = None,
    grammar: Annotated[
        bool, typer.Option("--grammar/--no-grammar", help="Choose among well-formed formulas, or symbol by symbol.")
    ] = True,
    words: Annotated[bool, typer.Option("--words", help="Names may have several letters.")] = False,
    debug: Annotated[
        Path | None, typer.Option(help="A folder that gets a picture of every step.", show_default=False)
    ] = None,
    data_folder: Annotated[Path | None, _DATA] = None,
) -> int:
    """Read pages; one line of text for each line of a page."""
    from steepest.formulas.image import open_image
    from steepest.formulas.logic import FORMATS
    from steepest.formulas.reading import read_formulas

    if to not in FORMATS:
        raise InputError(f"{argument('to')} must be one of {', '.join(FORMATS)}, got {to!r}")
    files = _list_pictures(pages)
    recognizer = _find_model(model, data_folder)
    unread = 0
    for file in files:
        found = read_formulas(
            open_image(file), recognizer, grammar=grammar, words=words,
            debug=debug / file.stem if debug and len(files) > 1 else debug,
        )  # fmt: skip
        if len(files) > 1:
            out().print(f"# {file}", highlight=False, markup=False, soft_wrap=True)
        unread += _print_lines(found, to)
        if json_file is not None:
            _write_json(found, json_file / f"{file.stem}.json" if len(files) > 1 else json_file)
    if unread:
        err().print(
            f"{unread} of the lines are no formula as they were read; 'steepest formulas serve' lets you correct them",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    return 0


@formulas.command()
def train(
    symbols: Annotated[
        Path, typer.Argument(help="A folder, .zip, .csv, .npz or .json of strokes.", show_default=False, metavar="SET")
    ],
    network: Annotated[str, typer.Option(help="dense or cnn.")] = "dense",
    model: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The model's file. Default: formulas/SET-NETWORK.safetensors.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="Any of 'steepest methods'.")] = "adam",
    lr: Annotated[
        float | None, typer.Option(help="Its lr. Default: the middle of its range.", show_default=False)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the set. Default: 30 of the dense net, 20 of the CNN.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Symbols of a step.")] = 64,
    schedule: Annotated[str, typer.Option(help="Of the lr.")] = "linear",
    hidden: Annotated[int, typer.Option(help="Units of the dense net.")] = 500,
    activation: Annotated[str, typer.Option(help="Of the dense net: relu or sigmoid.")] = "relu",
    distort: Annotated[
        bool, typer.Option("--distort/--no-distort", help="Shift, turn and slant symbols a little.")
    ] = True,
    fragments: Annotated[
        float, typer.Option(help="For each symbol so many pictures of what is none, for models that read pages.")
    ] = 0.0,
    threads: Annotated[int, typer.Option(help="That torch computes with.")] = 1,
    seed: Annotated[int, typer.Option(help="Of what is held out, the weights and the order.")] = 0,
) -> int:
    """Train a model on a set of symbols; ends in a page. The same command again goes on where it stopped."""
    from steepest.formulas.recognition import Settings, train_recognizer
    from steepest.formulas.recognition.page import FILES, pictures_of, story_of
    from steepest.formulas.sets import read_set
    from steepest.page.kept import settings_refused

    target = model or Path("formulas", f"{symbols.resolve().stem}-{network}.safetensors")
    if target.suffix != ".safetensors":
        raise InputError(f"--out must end in .safetensors, got {str(target)!r}")
    with settings_refused(Settings):
        settings = Settings(
            network=network, method=method, lr=lr, epochs=epochs, batch_size=batch_size, seed=seed, distort=distort,
            hidden=hidden, activation=activation, schedule=schedule, threads=threads, fragments=fragments,
        )  # fmt: skip
    found_set = read_set(symbols)
    folder = target.with_suffix("")
    with Bar() as bar:
        found = train_recognizer(
            found_set,
            folder,
            settings,
            lambda seen: bar.show(f"accuracy {seen.accuracy:.2%}", seen.epoch / seen.epochs),
        )
    found.recognizer.save(target)
    _print_line(f"Model: {target}")
    pictures = pictures_of(found, found_set)
    story = story_of(found, settings, symbols.name)
    return tell(folder, story, "training.html.j2", "steepest.formulas.recognition", FILES, pictures=pictures)


@formulas.command("test")
def try_model(
    model: Annotated[
        str, typer.Argument(help="A model's file, or its number; 0 is the one that is shipped.", metavar="MODEL")
    ],
    symbols: Annotated[
        Path, typer.Argument(help="A folder, .zip, .csv, .npz or .json of strokes.", show_default=False, metavar="SET")
    ],
    data_folder: Annotated[Path | None, _DATA] = None,
) -> int:
    """Test a model on a set of symbols: accuracy, class-balanced accuracy, the worst confusions."""
    from steepest.formulas.recognition import test_recognizer
    from steepest.formulas.sets import read_set

    _print_tested(test_recognizer(_find_model(model, data_folder), read_set(symbols)))
    return 0


@formulas.command()
def models(
    use: Annotated[
        int | None, typer.Option(help="From now on read with this model.", show_default=False, metavar="NUMBER")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Even if it is worse than the one in use.")] = False,
    data_folder: Annotated[Path | None, _DATA] = None,
) -> int:
    """List the application's models; the one in use has a star."""
    from rich.table import Table
    from rich.text import Text

    from steepest.formulas.app.answers import RefusedError

    own = _open_models(data_folder)
    if use is not None:
        try:
            own.use(use, anyway)
        except RefusedError as error:
            raise InputError(f"{error}; --anyway uses it") from error
    listed = own.list()
    table = Table("", "number", "name", "network", "classes", "accuracy", box=None)
    for one in listed["models"]:
        facts = one["facts"]
        accuracy = facts.get("accuracy")
        table.add_row(
            "*" if one["id"] == listed["in_use"] else "", str(one["id"]), Text(one["name"]),
            str(facts.get("network", "")), str(facts.get("classes", "")),
            "" if accuracy is None else f"{100 * accuracy:.2f} %",
        )  # fmt: skip
    out().print(table)
    return 0


@formulas.command()
def export(
    model: Annotated[str, typer.Argument(help="The number of a model.", metavar="NUMBER")],
    target: Annotated[Path, typer.Option("--out", help="The file, .safetensors.", show_default=False)],
    data_folder: Annotated[Path | None, _DATA] = None,
) -> int:
    """Write one of the application's models to a file."""
    if target.suffix != ".safetensors":
        raise InputError(f"--out must end in .safetensors, got {str(target)!r}")
    _find_model(model, data_folder).save(target)
    _print_line(f"Model: {target}")
    return 0


@formulas.command("make-pages")
def make_pages(
    symbols: Annotated[
        Path, typer.Argument(help="A folder, .zip, .csv, .npz or .json of strokes.", show_default=False, metavar="SET")
    ],
    folder: Annotated[Path, typer.Option("--out", help="The folder of the pages.")] = Path("pages"),
    pages: Annotated[int, typer.Option(help="How many.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the first page; the others follow.")] = 0,
    broken: Annotated[float, typer.Option(help="Share of symbols with a gap.")] = 0.03,
    touching: Annotated[float, typer.Option(help="Share of neighbours whose ink meets.")] = 0.03,
) -> int:
    """Make pages of handwriting from single symbols, and beside each a JSON of what is on it and where."""
    from steepest.formulas.image import make_page
    from steepest.formulas.image.exports import write_page
    from steepest.formulas.sets import read_set

    for name, value in (("pages", pages), ("seed", seed)):
        if value < (name == "pages"):
            raise InputError(f"--{name} must be at least {int(name == 'pages')}, got {value}")
    for name, share in (("broken", broken), ("touching", touching)):
        if not 0 <= share <= 1:
            raise InputError(f"--{name} must be from 0 to 1, got {share:g}")
    found = read_set(symbols)
    with Bar() as bar:
        for number in range(seed, seed + pages):
            bar.show("pages", (number - seed) / pages)
            made = make_page(found.images, found.labels, number, broken=broken, touching=touching)
            write_page(folder / f"page-{number}", made)
    _print_line(f"{pages} pages: {folder}")
    return 0


@formulas.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    data_folder: Annotated[Path | None, _DATA] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name by which browsers reach this machine; repeat for more.", show_default=False),
    ] = None,
) -> int:
    """Serve the application: draw or drop pages, correct them, build sets, train and switch models."""
    from steepest.formulas.app import serve as serve_app

    serve_app(host, port, data_folder, allow_hosts=allow_host or (), tell=_print_line)
    return 0


def _print_line(text: str) -> None:
    out().print(text, highlight=False, markup=False, soft_wrap=True)


def _print_lines(found: "Formulas", to: str) -> int:
    """Print a page's lines; return how many of them are no formula."""
    from steepest.formulas.logic import write

    unread = 0
    for line in found.lines:
        unread += line.tree is None
        _print_line(line.text if line.tree is None else write(line.tree, to))
    return unread


def _print_tested(tested: "Tested") -> None:
    _print_line(f"accuracy {100 * tested.accuracy:.2f} %")
    _print_line(f"class-balanced accuracy {100 * tested.balanced_accuracy:.2f} %")
    for pair in tested.confusions[:CONFUSIONS]:
        _print_line(f"{pair.was} taken for {pair.said}: {pair.count} of {tested.counts[pair.was]}")


def _write_json(found: "Formulas", path: Path) -> None:
    from steepest._files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, found.to_json())


def _list_pictures(pages: list[Path]) -> list[Path]:
    """List pictures, and those in folders, in the order of their names."""
    found = []
    for page in pages:
        if page.is_dir():
            inside = sorted(file for file in page.iterdir() if file.suffix.lower() in PICTURES)
            if not inside:
                raise InputError(f"{page} must hold pictures, {', '.join(PICTURES)}, and holds none")
            found += inside
        else:
            found.append(page)
    return found


def _open_models(data_folder: Path | None) -> "Models":
    from steepest.formulas.app.database import Database
    from steepest.formulas.app.models import Models
    from steepest.formulas.app.places import DATABASE, find_data_folder

    folder = find_data_folder(data_folder)
    return Models(folder, Database(folder / DATABASE))


def _find_model(model: str | None, data_folder: Path | None) -> "Recognizer":
    """Find a model by its file or number; else the one in use, or the one that is shipped if nothing is."""
    from steepest.formulas.models import load_default
    from steepest.formulas.recognition import Recognizer

    if model is not None and not model.isdigit():
        return Recognizer.load(Path(model))
    if model == "0":
        return load_default()
    from steepest.formulas.app.places import DATABASE, name_data_folder

    if model is None and not (name_data_folder(data_folder) / DATABASE).exists():
        return load_default()
    own = _open_models(data_folder)
    return Recognizer.load(own.path(own.in_use() if model is None else int(model)))
