"""The tables of the report as LaTeX."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest._errors import InputError
from steepest.compare.results.columns import result_columns
from steepest.compare.results.latex import WHOLE, escape_latex, export_latex, tabular
from tests.compare.report.pages import made_up


def checked(text):
    """The cells of a table, after a look at all that LaTeX would stumble over."""
    lines = text.strip().splitlines()
    (columns,) = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[1]).groups()
    assert [lines[2], lines[4], *lines[-2:]] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    rows = []
    for line in (lines[3], *lines[5:-2]):
        assert line.endswith(r" \\")
        assert not line.startswith(("[", "*"))
        cells = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        assert len(cells) == len(columns)
        rows.append([checked_cell(cell) for cell in cells])
    return columns, rows


def checked_cell(text):
    """A cell without its commands, of which only known ones may be there, all braces closed."""
    plain = re.sub(r"\$(\\infty|\\downarrow|\\pm|\\times|[-+])\$", "", text)
    plain = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|ldots)\{\}", "", plain
    )
    plain = re.sub(r"\\[&%$#_{}]", "", plain)
    plain = re.sub(r"\{[\[\]*]?\}", "", plain)
    assert not re.search(r"[\\&%$#_{}^\"|<>]", plain)
    return text


@given(st.text())
def test_no_text_means_anything_to_latex(text):
    checked_cell(escape_latex(text))
    assert "\n" not in escape_latex(text)


def test_a_table_says_what_its_cells_say():
    lines = [["method", "test 50 %"], ["[a]_b & c", "-0.5"], ["*", "1 to ∞"]]
    columns, rows = checked(tabular(lines, [True, False]))
    assert columns == "lr"
    assert rows[1:] == [[r"{[}a{]}\_b \& c", "$-$0.5"], ["{*}", r"1 to $\infty$"]]


def test_every_table_of_the_report_is_a_file_and_its_columns_hold(tmp_path):
    summaries = made_up(workloads=("a_1", "b, batch 64"), methods=("sgd", "ssgd+sngm", "csgd"), trials=4, seeds=3)
    paths = {path.name: path for path in export_latex(summaries, tmp_path / "new")}
    assert {"overview.tex", "across.tex", "a-1-results.tex", "b-batch-64-trust.tex", WHOLE} <= paths.keys()
    for name, path in paths.items():
        if name != WHOLE:
            _, rows = checked(path.read_text())
            assert len(rows) == 4
    _, rows = checked(paths["a-1-results.tex"].read_text())
    plains = [plain for column in result_columns(summaries[0]) for plain in column.markdown]
    for shown, row in zip(rows[1:], summaries[0].rows, strict=True):
        assert shown == [escape_latex(text) for text in (row.method.name, *(plain.text(row) for plain in plains))]
    whole = paths[WHOLE].read_text()
    assert re.findall(r"\\input\{(.*)\}", whole) == [name.removesuffix(".tex") for name in paths if name != WHOLE]
    compiler = next(filter(shutil.which, ("pdflatex", "lualatex", "xelatex", "tectonic")), None)
    if compiler is not None:  # the checks above stand in for it elsewhere
        ended = subprocess.run([compiler, WHOLE], cwd=tmp_path / "new", capture_output=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stdout.decode(errors="replace")[-2000:]


def test_latex_wants_a_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"latex must be a folder, got the file '.*file'"):
        export_latex(made_up(workloads=("a",), methods=("sgd", "csgd"), trials=2, seeds=2), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
