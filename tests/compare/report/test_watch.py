"""Others look on while a study runs: the live page, and optuna-dashboard."""

import contextlib
import dataclasses
import hashlib
import http.client
import io
import json
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest

from steepest import cli
from steepest._errors import InputError
from steepest.compare.report import watch
from tests import warm
from tests.compare.report.pages import made_up, opened, until, with_fields
from tests.compare.study.test_study import compare


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("watched") / "study"
    done = compare(out)
    assert done.returncode == 0, done.stderr
    return out


@contextlib.contextmanager
def served(folder):
    server = watch.Server(("127.0.0.1", 0), partial(watch.Handler, watch.Watched(folder), "127.0.0.1"))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()
    finally:
        connection.close()


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def test_the_page_is_served_and_nothing_is_written(folder):
    before = contents(folder)
    with served(folder) as port:
        status, headers, page = ask(port)
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert '<script src="plotly.js"></script>' in page
        assert len(page) < 500_000  # the figures' script comes once, beside it
        again = ask(port, **{"If-None-Match": headers["ETag"]})
        assert (again[0], again[2]) == (304, "")
        assert ask(port, "/plotly.js")[2].startswith("/**")
        assert ask(port, method="HEAD")[2] == ""
        assert ask(port, "/trials.jsonl")[0] == ask(port, "/../spec.json")[0] == 404
        assert ask(port, method="POST")[0] == 501
    assert contents(folder) == before


def test_a_foreign_name_is_refused(folder):
    with served(folder) as port:
        for host, status in (
            (f"localhost:{port}", 200),
            ("[::1]:80", 200),
            ("evil.example", 403),
            (f"127.0.0.1.evil.example:{port}", 403),
            ("[::1", 403),
            ("", 403),
        ):
            assert ask(port, Host=host)[0] == status, host
            assert ask(port, "/plotly.js", Host=host)[0] == status


def test_a_folder_without_a_study_is_one_sentence(tmp_path, capsys):
    assert cli.run(["watch", str(tmp_path / "none")]) == 2
    assert "holds no study" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_bad_addresses_are_one_sentence(folder):
    with pytest.raises(InputError, match="port must be from 0 to 65535, got 99999"):
        watch.serve(folder, 99999)
    with (
        served(folder) as port,
        pytest.raises(InputError, match=rf"cannot serve on 127.0.0.1:{port} \(Address already"),
    ):
        watch.serve(folder, port)


def test_a_study_that_goes_away_says_so_and_comes_back(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "REREAD_SECONDS", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 1e6)
    own = shutil.copytree(folder, tmp_path / "study")
    with served(own) as port:
        assert ask(port)[0] == 200
        own.rename(tmp_path / "elsewhere")
        status, _, text = ask(port)
        assert (status, "holds no study" in text) == (503, True)
        (tmp_path / "elsewhere").rename(own)
        assert ask(port)[0] == 200


def test_the_version_is_that_of_the_records():
    (summary,) = made_up(workloads=("a",), methods=("sgd",), trials=2, seeds=2, points=3)
    (fewer,) = made_up(workloads=("a",), methods=("sgd",), trials=2, seeds=2, points=3, share=0.75)
    again = with_fields(summary, lambda record: dataclasses.replace(record, finished=2.0))
    versions = {watch.version_of([s]) for s in (summary, fewer, again)}
    assert len(versions) == 3
    assert watch.version_of([summary]) in versions


@pytest.mark.slow
def test_a_page_renews_itself_and_the_reader_stays_where_he_is(browser, tmp_path, monkeypatch):
    now = {"share": 0.6}
    size = {"workloads": ("a", "b"), "methods": ("sgd", "adamw", "sngm"), "trials": 4, "seeds": 3, "points": 6}
    monkeypatch.setattr(watch, "read", lambda folder: made_up(**size, share=now["share"]))
    monkeypatch.setattr(watch, "REREAD_SECONDS", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 1e6)
    with served(tmp_path) as port:
        view = opened(browser, f"http://127.0.0.1:{port}/", offline=False, height=600)
        assert "Unfinished: 26 of 42 runs are finished. The page follows the study." in view.inner_text("#top")
        view.locator("#tab-2").click()
        view.locator("#final-2 th[data-by=method] button").click()
        view.fill("#filter-final-2", "s")
        view.locator("#final-2 button.open").nth(1).click()
        view.locator("tr.detail input:visible").nth(1).click()
        view.locator("#plot-validation-2").scroll_into_view_if_needed()
        view.locator("#plot-validation-2 .main-svg").first.wait_for()
        view.locator("section:has(#plot-validation-2)").get_by_role("button", name="log x").click()
        wide = view.evaluate("document.getElementById('plot-validation-2')._fullLayout.yaxis.range")
        box = view.locator("#plot-validation-2 .nsewdrag").bounding_box()
        view.mouse.move(box["x"] + 200, box["y"] + 60)
        view.mouse.down()
        view.mouse.move(box["x"] + 600, box["y"] + 180, steps=4)
        view.mouse.up()
        view.locator("#filter-final-2").focus()
        view.locator("#plot-validation-2").scroll_into_view_if_needed()
        look = """() => {
          const place = document.getElementById("plot-validation-2");
          const plot = place._fullLayout;
          return {
            top: place.getBoundingClientRect().top, focus: document.activeElement.id,
            tab: document.querySelector("[aria-selected=true]").id,
            rows: [...document.querySelectorAll("#final-2 tr:not([hidden]) .name")].map((e) => e.innerText),
            open: document.querySelector("tr.detail").previousElementSibling.innerText.split("\\n")[0],
            ticked: [...document.querySelectorAll("tr.detail input")].map((e) => e.checked).slice(0, 4),
            axis: plot.xaxis.type, zoom: plot.yaxis.range,
          };
        }"""
        before = view.evaluate(look)
        assert (before["tab"], before["axis"]) == ("tab-2", "log")
        assert wide[0] < before["zoom"][0] < before["zoom"][1] < wide[1]
        assert before["focus"] == "filter-final-2"
        assert view.evaluate("scrollY") > 300
        now["share"] = 0.8
        view.get_by_text("34 of 42 runs are finished").wait_for()
        after = view.evaluate(look)
        top = before.pop("top")
        assert abs(after.pop("top") - top) < 5
        assert after == before
        drawn = "[...new Set(document.getElementById('plot-validation-2').data.map((trace) => trace.name))].sort()"
        assert view.evaluate(drawn) == ["adamw", "sgd"]
        now["share"] = 1.0
        view.get_by_text("Unfinished").wait_for(state="detached")
        assert view.locator("#across tbody tr").count() == 3  # a section more, above what the reader looks at
        assert abs(view.evaluate(look)["top"] - top) < 5
        until(view, f"{drawn}.includes('sngm')")
        assert all(request.startswith(f"http://127.0.0.1:{port}/") for request in view.requests)
        assert view.messages == []
    view.get_by_text("the watch has ended").wait_for()
    view.context.close()


def test_a_large_study_is_read_less_often(monkeypatch, tmp_path):
    clock, read = [0.0], []

    def slowly(folder):
        clock[0] += 4
        read.append(clock[0])
        return made_up(workloads=("a",), methods=("sgd", "sngm"), trials=1, seeds=1, points=3)

    monkeypatch.setattr(watch, "read", slowly)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    watched = watch.Watched(tmp_path)
    for _ in range(200):
        watched.page()
        clock[0] += 1
    assert read == [4, 48, 92, 136, 180]  # 4 seconds of work, 40 of rest


def test_a_reader_who_leaves_is_no_error_and_all_else_is(capsys):
    with watch.Server(("127.0.0.1", 0), watch.Handler) as server:
        for error, told in ((BrokenPipeError(), False), (ZeroDivisionError(), True)):
            try:
                raise error
            except (OSError, ArithmeticError):
                server.handle_error(None, ("127.0.0.1", 1))
            assert (type(error).__name__ in capsys.readouterr().err) is told


def test_ctrl_c_ends_quietly(folder):
    command = [sys.executable, "-u", "-m", "steepest", "watch", str(folder)]
    with warm.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        assert ask(int(address.strip("/").rpartition(":")[2]))[0] == 200
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")


def wsgi_get(app, path):
    """Status and JSON of a GET, without a server."""
    started = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
    }
    body = b"".join(app(environ, lambda status, headers, *rest: started.append(status)))
    return started[0], json.loads(body)


def test_optuna_dashboard_opens_the_storage(folder):
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(f"sqlite:///{folder / 'study.db'}")
    status, found = wsgi_get(app, "/api/studies")
    assert status.startswith("200")
    by_name = {study["study_name"]: study["study_id"] for study in found["study_summaries"]}
    assert {name.split("/")[-1] for name in by_name} == {"tune", "final"}
    assert len(by_name) == 4
    records = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    tuned = next(name for name in by_name if name.endswith("good/tune"))
    status, study = wsgi_get(app, f"/api/studies/{by_name[tuned]}")
    assert status.startswith("200")
    values = [trial["values"][0] for trial in study["trials"]]
    assert values == [r["validation_metric"] for r in records if r["method"] == "good" and r["phase"] == "tune"]
