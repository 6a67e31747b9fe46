"""The networks behind the built-in workloads, what is made from a user's data, and that each of it trains."""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from steepest._errors import InputError
from steepest.cli import run as command
from steepest.compare.names import DEFAULT_METHODS
from steepest.compare.policy.finished import finished_records
from steepest.data import Split, Splits, random_crop_flip
from steepest.optim.tracked import records_of
from steepest.training.builtin import METHODS, TEMPLATES, WORKLOADS
from steepest.training.builtin.language import AttentionBlock, CharGPT, CharLSTM, bits_per_character, character_loss
from steepest.training.builtin.models import toy_cnn
from steepest.training.builtin.resnet import Block, resnet20
from steepest.training.code.lookup import absolute_reference, find_method, find_workload, load_data, source_digest
from tests import warm
from tests.data.pictures import picture, write_folder, write_parquet
from tests.training.runs import train

VOCABULARY = 9


def parameter_count(model):
    return sum(p.numel() for p in model.parameters())


def test_sizes_against_the_papers():
    assert round(parameter_count(resnet20()) / 1e6, 2) == 0.27  # He et al., table 6
    weights = [m for m in resnet20().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weights) == 20
    # 1 + 2n, 2n and 2n convolutions with 16, 32 and 64 filters, n = 3: their section 4.2
    assert [m.out_channels for m in weights[:-1]] == [16] * 7 + [32] * 6 + [64] * 6
    assert parameter_count(resnet20()) == 269_722
    normless = resnet20(norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in normless.modules())
    assert parameter_count(normless) == 269_722 - sum(m.out_channels for m in weights[:-1])  # a bias for two of them
    assert resnet20(5, channels=1)(torch.zeros(2, 1, 20, 28)).shape == (2, 5)
    convolutions = sum(i * o * 9 + o for i, o in ((3, 8), (8, 16), (16, 32), (32, 64)))
    assert parameter_count(toy_cnn(norm=False)) == convolutions + 1024 * 10 + 10
    assert parameter_count(toy_cnn()) == parameter_count(toy_cnn(norm=False)) + 2 * (8 + 16 + 32 + 64)


@pytest.mark.parametrize("outputs", [4, 8])
def test_the_shortcut_has_no_parameters(outputs):
    block = Block(4, outputs, norm=False)
    for p in block.parameters():
        nn.init.zeros_(p)
    x = torch.randn(2, 4, 6, 6)
    expected = (
        x if outputs == 4 else torch.cat([torch.zeros(2, 2, 3, 3), x[:, :, ::2, ::2], torch.zeros(2, 2, 3, 3)], 1)
    )
    assert torch.equal(block(x), expected.relu())


def test_without_batchnorm_the_signal_does_not_explode():
    def growth(model, images):
        stem = model[:3](images)
        return (model[:12](images).square().mean() / stem.square().mean()).item()

    torch.manual_seed(0)
    model, images = resnet20(norm=False), torch.randn(16, 3, 32, 32)
    assert growth(model, images) < 7
    for block in model[3:12]:
        ratio = block.conv2.weight.std() / block.conv1.weight.std()
        assert ratio.item() == pytest.approx(1 / 3, rel=0.1)
        block.conv2.weight.data.mul_(3)
    assert growth(model, images) > 50


def test_crops_and_flips_are_those_of_a_plain_loop():
    x = torch.randn(40, 3, 6, 8)
    augmented = random_crop_flip(x, torch.Generator().manual_seed(5), padding=2)
    same = torch.Generator().manual_seed(5)
    top, left = torch.randint(5, (2, 40, 1), generator=same).squeeze(-1).tolist()
    mirrored = (torch.rand(40, 1, generator=same) < 0.5).flatten().tolist()
    for i in range(40):
        crop = F.pad(x[i], (2, 2, 2, 2))[:, top[i] : top[i] + 6, left[i] : left[i] + 8]
        assert torch.equal(augmented[i], crop.flip(-1) if mirrored[i] else crop)
    assert {*top} == {*left} == {0, 1, 2, 3, 4}
    assert 10 < sum(mirrored) < 30


def test_resnets_train_on_crops_and_flips_and_nothing_else_does():
    augmenting = {name for name, workload in WORKLOADS.items() if workload.augment is not None}
    assert augmenting == {"cifar10-resnet20", "cifar10-resnet20-nobn"}
    assert {WORKLOADS[name].augment for name in augmenting} == {random_crop_flip}


@pytest.mark.parametrize("make", [lambda: CharGPT(VOCABULARY, 12), lambda: CharLSTM(VOCABULARY)], ids=["gpt", "lstm"])
def test_a_later_character_changes_no_earlier_output(make):
    torch.manual_seed(0)
    model, x = make(), torch.randint(VOCABULARY, (3, 12))
    for place in (1, 6, 11):
        changed = x.clone()
        changed[:, place] = (x[:, place] + 1) % VOCABULARY
        before, after = model(x), model(changed)
        assert torch.equal(before[:, :place], after[:, :place])
        assert all((before[:, t] - after[:, t]).abs().max() > 1e-6 for t in range(place, 12))


def test_the_gpt_is_that_of_transformers():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install transformers")
    torch.manual_seed(0)
    ours = CharGPT(VOCABULARY, 12, width=16, layers=2)
    for p in ours.parameters():
        nn.init.normal_(p, std=0.3)  # biases and shifts too
    sizes = {"vocab_size": VOCABULARY, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 4}
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, tie_word_embeddings=False)).eval()
    names = {
        "characters": "transformer.wte", "positions": "transformer.wpe", "norm": "transformer.ln_f", "head": "lm_head",
    }  # fmt: skip
    inner = {
        "norm1": "ln_1", "qkv": "attn.c_attn", "attended": "attn.c_proj",
        "norm2": "ln_2", "expand": "mlp.c_fc", "contract": "mlp.c_proj",
    }  # fmt: skip
    for i in range(2):
        names |= {f"blocks.{i}.{mine}": f"transformer.h.{i}.{other}" for mine, other in inner.items()}
    state = {}
    for name, p in ours.named_parameters():
        module, _, kind = name.rpartition(".")
        is_linear = kind == "weight" and isinstance(ours.get_submodule(module), nn.Linear) and module != "head"
        state[f"{names[module]}.{kind}"] = p.detach().T if is_linear else p.detach()  # theirs is (inputs, outputs)
    theirs.load_state_dict(state)
    x = torch.randint(VOCABULARY, (3, 12))
    torch.testing.assert_close(ours.double()(x), theirs.double()(x).logits, rtol=1e-7, atol=1e-7)


def test_the_gpt_begins_as_gpt_2():
    torch.manual_seed(0)
    model = CharGPT(66, 64)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            assert (p == 0).all()
        elif "norm" in name:
            assert (p == 1).all()
        else:
            expected = 0.02 / 8**0.5 if name.endswith(("attended.weight", "contract.weight")) else 0.02
            assert p.std().item() == pytest.approx(expected, rel=0.05), name
    assert sum(isinstance(m, AttentionBlock) for m in model.modules()) == 4
    uniform = bits_per_character(model(torch.randint(66, (4, 64))), torch.randint(66, (4, 64)))
    assert uniform.item() == pytest.approx(torch.tensor(66.0).log2().item(), abs=0.05)


def test_loss_and_metric_of_characters():
    outputs, targets = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    log_p = outputs.log_softmax(-1)
    mean = -sum(log_p[n, t, targets[n, t]] for n in range(2) for t in range(3)) / 6
    torch.testing.assert_close(character_loss(outputs, targets), mean)
    torch.testing.assert_close(bits_per_character(outputs, targets), mean / torch.tensor(2.0).log())


NEW = ["mnist-deep-sigmoid", "toy-cnn", "toy-cnn-nobn", "cifar10-resnet20", "cifar10-resnet20-nobn"]
NEW += ["shakespeare-lstm", "shakespeare-gpt"]


def tiny_data(name):
    torch.manual_seed(0)
    if name.startswith("shakespeare"):
        split = Split(torch.randint(66, (16, 64)), torch.randint(66, (16, 64)))
    else:
        shape = (1, 28, 28) if name.startswith("mnist") else (3, 32, 32)
        split = Split(torch.randn(16, *shape), torch.arange(16) % 10)
    return Splits(split, split, split)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("method", ["sgd", "insgd", "adam-ng", "csgd+ssgd+sngm"])
def test_each_new_workload_trains_with_each_kind_of_method(name, method):
    found, workload = find_method(method), WORKLOADS[name]
    options = {"seed": 0, "epochs": 1, "batch_size": 8, "with_test": True}
    outcome = train(workload, found, tiny_data(name), {"lr": 1e-3}, **options)
    assert not outcome.diverged
    assert outcome.gradient_evaluations == 2
    again = train(workload, found, tiny_data(name), {"lr": 1e-3}, **options)
    assert (again.test_loss, again.curve) == (outcome.test_loss, outcome.curve)


def test_the_method_insgd_tracks_what_it_trains():
    model = toy_cnn()
    assert [name for name, p in model.named_parameters() if records_of(p)] == []
    METHODS["insgd"].build(model, {"lr": 0.1})
    tracked = {name for name, p in model.named_parameters() if records_of(p)}
    assert tracked == {f"{i}.weight" for i, m in enumerate(model) if isinstance(m, nn.Conv2d | nn.Linear)}
    other = toy_cnn()
    METHODS["sgd"].build(other, {"lr": 0.1})
    assert not any(records_of(p) for p in other.parameters())


def test_adam_ng_takes_the_direction_of_each_layer_alone():
    steps = []
    for scale in (1.0, 1e4):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = METHODS["adam-ng"].build(model, {"lr": 0.1})
        (scale * model(torch.ones(1, 3)).square().sum()).backward()
        optimizer.step()
        steps.append(optimizer.state[model.weight]["exp_avg"])
    torch.testing.assert_close(steps[0], steps[1])


def test_the_methods_that_are_compared_by_default_stay_the_same():
    assert DEFAULT_METHODS == ("sgd", "nesterov", "adamw", "lars", "sngm", "bng", "bng-ratio")
    assert set(DEFAULT_METHODS) < set(METHODS)


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """A text, a folder of images and a local data set in the hub's layout; the working folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "my text+1.txt").write_text("What is a text? A text: it is characters. " * 60)
    write_folder(tmp_path / "flowers", ["aster", "lily", "rose"], 8)
    images = {"train": [picture(i) for i in range(20)]}
    write_parquet(tmp_path / "set", images, label=(datasets.Value("int64"), {"train": [i % 4 for i in range(20)]}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "name", "inputs", "outputs"),
    [
        ("char-lstm:my text+1.txt", "char-lstm-my-text-1", (35, 64), (64, 16)),
        ("char-gpt:my text+1.txt", "char-gpt-my-text-1", (35, 64), (64, 16)),
        ("image-folder:flowers", "images-flowers", (17, 3, 32, 32), (3,)),
        ("hub:set", "hub-set", (14, 3, 32, 32), (4,)),
    ],
)
def test_workloads_from_a_users_data(own_data, monkeypatch, reference, name, inputs, outputs):
    workload = find_workload(reference)
    assert workload.name == name
    splits = load_data(workload, None)
    assert splits.train.inputs.shape == inputs
    assert workload.model()(splits.train.inputs[:2]).shape == (2, *outputs)
    outcome = train(workload, METHODS["sgd"], splits, {"lr": 0.01}, seed=0, epochs=1, batch_size=7, with_test=True)
    assert outcome.gradient_evaluations >= 2
    assert not outcome.diverged
    absolute = absolute_reference(reference)
    assert absolute == reference.partition(":")[0] + f":{own_data}/" + reference.partition(":")[2]
    monkeypatch.chdir("/")
    elsewhere = load_data(find_workload(absolute), None)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(splits, elsewhere, strict=True))
    assert source_digest(absolute) is None


def test_absolute_references(own_data):
    assert absolute_reference("hub:ylecun/mnist") == "hub:ylecun/mnist"
    assert absolute_reference("char-gpt:a/../b.txt") == f"char-gpt:{own_data}/b.txt"
    for reference in ("digits-mlp", "package.module:name", "csgd+ssgd+sngm"):
        assert absolute_reference(reference) == reference
    (own_data / "own.py").touch()
    assert absolute_reference("ssgd+own.py:m") == f"ssgd+{own_data}/own.py:m"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("char-gpt", r"^'char-gpt' needs an argument, char-gpt:PATH; write it as 'char-gpt:path/to/text.txt'$"),
        ("hub:", r"^'hub' needs an argument, hub:OWNER/NAME; write it as 'hub:ylecun/mnist'$"),
        ("char-lstm:none.txt", r"^the text 'none.txt' cannot be read: No such file or directory$"),
        ("image-folder:none", r"^the folder of images 'none' does not exist$"),
        ("image-folder:flowers/rose", r"at least 2 classes, got none$"),
    ],
)
def test_references_that_lead_nowhere(own_data, reference, message):
    with pytest.raises(InputError, match=message):
        find_workload(reference)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda w: w.name)
def test_the_page_of_workloads(workload):
    page = (Path(__file__).parent.parent.parent / "docs" / "workloads.md").read_text()
    cells = next(line for line in page.splitlines() if line.startswith(f"| `{workload.name}` |")).split(" | ")
    target = f"{100 * workload.target:g} %" if workload.percent else f"{workload.target:g} {workload.metric_name}"
    count = f"{parameter_count(workload.model()):,}"
    assert cells[3:] == [count, str(workload.batch_size), str(workload.epochs), f"{target} |"]


def test_the_list_of_workloads(capsys):
    assert command(["workloads"]) == 0
    out = capsys.readouterr().out
    for template in TEMPLATES.values():
        assert f"{template.usage} " in out
        assert f" {template.example} " in out
        assert template.example.startswith(f"{template.name}:")
    assert " 2.6 bits per character " in out
    assert " 95 % accuracy " in out


@pytest.mark.slow
def test_a_study_of_a_text(own_data):
    """Workers make the workload from its reference anew."""
    arguments = ["char-lstm:my text+1.txt", "--methods", "insgd", "--trials", "1", "--seeds", "1", "--epochs", "1"]
    done = warm.run(
        [sys.executable, "-m", "steepest", "compare", *arguments, "--jobs", "1", "--device", "cpu"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "On char-lstm-my-text-1, " in done.stdout
    assert "test bits per character" in done.stdout
    study, records = finished_records(own_data / "studies" / "char-lstm-my-text-1")
    [spec] = study.comparisons
    assert (spec.workload.percent, spec.workload.higher_is_better, spec.workload.source_sha256) == (False, False, None)
    assert [record.status for record in records] == ["finished"] * 2
