"""Spiking convolutions and STDP: against slow loops, and the rule's fixed point."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.spiking import STDP, SpikingConv2d, encode, pool_spikes
from tests.spiking.test_encoding import drawn


def spikes_of(seed, steps=6, count=2, channels=2, side=9, rate=0.1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, count, channels, side, side, generator=generator) < rate


def layer_of(seed=0, maps=5, kernel=3, threshold=2.0, channels=2, **options):
    torch.manual_seed(seed)
    layer = SpikingConv2d(channels, maps, kernel, threshold, **options)
    with torch.no_grad():
        layer.weight.uniform_(0.05, 0.95)
    return layer


def convolve_slowly(layer, spikes):
    """Spikes of one image (T, C, H, W) by loops; potentials as exact sums of the rounded weights."""
    weight, _ = layer.rounded(len(spikes))
    size = layer.kernel_size
    height, width = (side - size + 1 for side in spikes.shape[-2:])
    out = torch.zeros(len(spikes), layer.out_channels, height, width, dtype=torch.bool)
    for y in range(height):
        for x in range(width):
            potential = [0.0] * layer.out_channels
            for t in range(len(spikes)):
                patch = spikes[t, :, y : y + size, x : x + size]
                for number in range(layer.out_channels):
                    potential[number] += float((weight[number].double() * patch).sum())
                best = max(range(layer.out_channels), key=lambda i: (potential[i], -i))
                if potential[best] >= layer.threshold:
                    out[t, best, y, x] = True
                    break
    return out


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_a_convolution_is_a_slow_loop_bit_for_bit(seed):
    layer, spikes = layer_of(seed), spikes_of(seed)
    found = layer(spikes)
    for image in range(2):
        assert torch.equal(found[:, image], convolve_slowly(layer, spikes[:, image]))
    assert found.sum(dim=(0, 2)).max() <= 1  # one spike at a location


def test_some_spike_and_some_do_not():
    found = layer_of()(spikes_of(0, count=4, rate=0.03))
    assert 40 < found.sum() < 156  # of 196 locations


def test_any_batch_gives_the_same_spikes():
    layer, spikes = layer_of(maps=30, kernel=5, threshold=10.0), encode(drawn(1, 30), threshold=5.0)
    together = layer(spikes)
    assert torch.equal(together, torch.cat([layer(spikes[:, i : i + 1]) for i in range(30)], dim=1))
    assert torch.equal(together, layer(spikes.float()))
    assert torch.equal(layer(spikes.contiguous(memory_format=torch.contiguous_format)[:, :7]), together[:, :7])


def test_potentials_add_up_over_time():
    layer, spikes = layer_of(), spikes_of(3)
    weight, _ = layer.rounded(len(spikes))
    step_by_step = torch.stack([torch.nn.functional.conv2d(s.float(), weight) for s in spikes]).cumsum(dim=0)
    assert torch.equal(layer.potentials(spikes), step_by_step)
    assert (weight - layer.weight).abs().max() < 1e-4


def test_without_inhibition_every_neuron_spikes_once_on_its_own():
    layer, spikes = layer_of(inhibition=False), spikes_of(4)
    fires = layer.potentials(spikes) >= layer.threshold
    found = layer(spikes)
    assert found.sum(dim=0).max() == 1
    assert found.sum(dim=(0, 2)).max() > 1
    assert torch.equal(found.any(dim=0), fires.any(dim=0))
    assert torch.equal(found.long().argmax(dim=0)[found.any(dim=0)], fires.long().argmax(dim=0)[fires.any(dim=0)])


def test_weights_begin_within_0_and_1():
    torch.manual_seed(0)
    layer = SpikingConv2d(2, 500, mean=0.98, std=0.02)
    assert layer.weight.min() > 0
    assert layer.weight.max() < 1
    assert (layer.weight == layer.weight.new_tensor(0.98)).sum() > 1000
    assert SpikingConv2d(2, 30).weight.mean().item() == pytest.approx(0.8, abs=0.001)


def test_pooling_tells_of_any_spike_in_a_window():
    spikes = spikes_of(5, side=9)
    found = pool_spikes(spikes, 2)
    assert torch.equal(
        found, torch.nn.functional.max_pool2d(spikes.flatten(0, 1).float(), 2).bool().unflatten(0, (6, 2))
    )


def learn_slowly(layer, spikes, learner, pausing):
    """One image (T, C, H, W): winners and dw by loops over everything."""
    fired, potential = layer(spikes[:, None])[:, 0], layer.potentials(spikes[:, None])[:, 0]
    found, change = [], torch.zeros_like(layer.weight)
    for t in range(len(spikes)):
        while True:
            candidates = [
                (float(potential[t, m, y, x]), -y, -x, m, y, x)
                for m, y, x in fired[t].nonzero().tolist()
                if m not in pausing
                and m not in [f[0] for f in found]
                and all(abs(y - v) > learner.radius or abs(x - u) > learner.radius for _, v, u, _ in found)
            ]
            if not candidates:
                break
            *_, m, y, x = max(candidates)
            found.append((m, y, x, t))
    size = layer.kernel_size
    for m, y, x, t in found:
        for c in range(layer.in_channels):
            for i in range(size):
                for j in range(size):
                    w = float(layer.weight[m, c, i, j])
                    active = bool(spikes[: t + 1, c, y + i, x + j].any())
                    change[m, c, i, j] += learner.rate * w * (1 - w) * (1 if active else -learner.ratio)
    for m in pausing:
        change[m] -= learner.decay * layer.weight[m] * (1 - layer.weight[m])
    return found, change


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_winners_and_steps_are_those_of_slow_loops(radius):
    layer = layer_of(2, maps=6)
    learner = STDP(layer, radius=radius, rate=0.05, history=4, decay=0.01, double_every=7)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    paused = learnt = 0
    for seed in range(20):
        spikes, pausing = spikes_of(seed, count=1, rate=0.15), learner.pausing
        winners, change = learn_slowly(layer, spikes[:, 0], learner, pausing)
        (found,) = learner(spikes)
        assert [tuple(w) for w in found] == winners
        learnt += len(winners)
        torch.testing.assert_close(-layer.weight.grad, change, rtol=1e-5, atol=1e-9)
        before = layer.weight.detach().clone()
        optimizer.step()
        torch.testing.assert_close(layer.weight.detach(), before + change, rtol=0, atol=1e-7)
        paused += len(pausing)
    assert paused > 0
    assert learnt > 20
    assert learner.rate == 0.05 * 2 ** (20 // 7) if 0.05 * 4 <= 0.15 else learner.rate == 0.15


@pytest.mark.parametrize("rate", [0.3, 0.38, 0.48, 0.6])
@pytest.mark.slow
def test_a_synapse_is_driven_to_1_where_its_input_spikes_in_more_than_three_of_seven_images(rate):
    """The fixed point A- / (A+ + A-), by simulation: a neuron that always wins, and inputs of a probability."""
    layer = SpikingConv2d(1, 1, 20, threshold=1e-6)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    learner = STDP(layer, rate=0.04, most=0.04, history=0)
    spikes = torch.rand(1, 3000, 1, 20, 20, generator=torch.Generator().manual_seed(1)) < rate
    learner.learn(spikes, torch.optim.SGD(layer.parameters(), lr=1.0))
    ends = (layer.weight > 0.5).float().mean().item()
    assert ends == (1.0 if rate > 3 / 7 else 0.0)
    assert learner.convergence() < 0.12


@pytest.mark.parametrize("rate", [0.02, 0.15])  # at the higher one cells spike several times
def test_learning_from_one_after_another_is_the_same_in_one_call(rate):
    def run(together):
        layer = layer_of(5, maps=6)
        learner, optimizer = STDP(layer, rate=0.05, history=4), torch.optim.SGD(layer.parameters(), lr=1.0)
        spikes, winners = spikes_of(1, count=40, rate=rate), []
        if together:
            winners = learner.learn(spikes, optimizer)
        else:
            for i in range(40):
                winners += learner(spikes[:, i : i + 1])
                optimizer.step()
        return winners, layer.weight.detach().clone(), learner.state_dict()

    (one, first, state), (other, second, again) = run(True), run(False)
    assert one == other
    assert sum(map(len, one)) > 10
    assert torch.equal(first, second)
    assert state == again


@pytest.mark.parametrize("few", [0, 10**6])
def test_potentials_that_only_rise_are_searched_and_those_of_all_steps_say_the_same(few, monkeypatch):
    monkeypatch.setattr("steepest.spiking.convolution.FEW", few)
    for seed in range(5):
        for steps in (1, 2, 3, 7, 12):
            layer, spikes = layer_of(seed), spikes_of(seed, steps=1, count=8, rate=0.3)
            when = torch.randint(steps, spikes.shape, generator=torch.Generator().manual_seed(seed))
            once = (torch.arange(steps)[:, None, None, None, None] == when) & spikes
            found, slow = layer.first_spikes(once), layer._find_by_potentials(once)
            fires = slow.when < steps
            assert fires.sum() > 0
            assert torch.equal(found.when, slow.when)
            assert torch.equal(found.which[fires], slow.which[fires])
            assert torch.equal(found.potential[fires], slow.potential[fires])


def test_weights_of_layers_with_many_inputs_stay_fine():
    layer = layer_of(channels=512, maps=2, kernel=5, threshold=300.0)
    spikes = spikes_of(1, steps=12, channels=512, side=6, rate=0.01)
    weight, _ = layer.rounded(12)
    assert weight.dtype == torch.float64
    assert (weight - layer.weight).abs().max() <= 2**-11
    assert layer_of().rounded(12)[0].dtype == torch.float32
    found = layer(spikes)
    assert found.any()
    for image in range(2):
        assert torch.equal(found[:, image], convolve_slowly(layer, spikes[:, image]))
    assert torch.equal(layer.first_spikes(spikes).when, layer._find_by_potentials(spikes).when)


def test_weights_below_0_are_right_too():
    layer, spikes = layer_of(), spikes_of(2)
    with torch.no_grad():
        layer.weight[:, :, 1] = -0.5
    found = layer(spikes)
    for image in range(2):
        assert torch.equal(found[:, image], convolve_slowly(layer, spikes[:, image]))


def test_several_images_at_once_add_what_each_alone_would_change():
    layer, spikes = layer_of(3), spikes_of(6, count=3, rate=0.15)
    alone, winners = torch.zeros_like(layer.weight), []
    for i in range(3):
        winners += STDP(layer, history=0)(spikes[:, i : i + 1])
        alone += layer.weight.grad
    assert STDP(layer, history=0)(spikes) == winners
    torch.testing.assert_close(layer.weight.grad, alone)


def test_the_rate_doubles_up_to_its_bound():
    layer = layer_of()
    learner = STDP(layer, rate=0.002, double_every=2, most=0.15)
    rates = []
    for _ in range(20):
        rates.append(learner.rate)
        learner(torch.zeros(1, 1, 2, 9, 9))
    assert rates == [min(0.002 * 2 ** (i // 2), 0.15) for i in range(20)]


def test_without_spikes_nothing_is_learnt():
    layer = layer_of()
    learner = STDP(layer)
    assert learner(torch.zeros(3, 2, 2, 9, 9)) == [[], []]
    assert layer.weight.grad.abs().max() == 0


def test_no_graph_is_built_and_weights_stay_within_0_and_1():
    layer = layer_of(maps=4)
    learner, optimizer = STDP(layer), torch.optim.SGD(layer.parameters(), lr=500.0)
    for seed in range(5):
        learner(spikes_of(seed, count=1, rate=0.2))
        assert layer.weight.grad.grad_fn is None
        optimizer.step()
    learner(spikes_of(9, count=1))
    assert layer.weight.min() >= 0
    assert layer.weight.max() <= 1


def test_a_learner_goes_on_from_its_state():
    def run(split):
        layer = layer_of(7, maps=4)
        learner, optimizer = STDP(layer, double_every=5, rate=0.05), torch.optim.SGD(layer.parameters(), lr=1.0)
        for seed in range(20):
            if seed == split:
                state, weights = learner.state_dict(), layer.state_dict()
                layer = layer_of(8, maps=4)
                layer.load_state_dict(weights)
                learner, optimizer = STDP(layer, double_every=5, rate=0.05), torch.optim.SGD(layer.parameters(), lr=1.0)
                learner.load_state_dict(state)
            learner(spikes_of(seed, count=1, rate=0.15))
            optimizer.step()
        return layer.weight.detach().clone()

    assert torch.equal(run(None), run(11))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate": 0.0}, "rate must be a number above 0 and below 1, got 0.0"),
        ({"rate": math.nan}, "rate must be a number above 0 and below 1, got nan"),
        ({"most": 0.001}, "most must be a number from rate, 0.002, to below 1, got 0.001"),
        ({"ratio": 10.0}, "ratio must be a number above 0 with ratio times most below 1, got 10.0"),
        ({"double_every": 0}, "double_every must be an integer of at least 1, got 0"),
        ({"radius": -1}, "radius must be an integer of at least 0, got -1"),
        ({"history": 1.5}, "history must be an integer of at least 0, got 1.5"),
        ({"decay": 1.0}, "decay must be a number of at least 0 and below 1, got 1.0"),
    ],
)
def test_what_stdp_cannot_use_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        STDP(layer_of(), **options)


def test_layers_that_stdp_cannot_use_are_refused():
    with pytest.raises(TypeError, match="layer must be a SpikingConv2d, got Conv2d"):
        STDP(torch.nn.Conv2d(1, 1, 3))
    with pytest.raises(ValueError, match="layer must have lateral inhibition"):
        STDP(layer_of(inhibition=False))


def test_spikes_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"spikes must have the shape \(T, N, 2, H, W\).* got \(1, 2, 9, 9\)"):
        layer_of()(torch.zeros(1, 2, 9, 9))
    with pytest.raises(ValueError, match="sides of at least 3"):
        layer_of()(torch.zeros(1, 1, 2, 2, 9))
    for call in (layer_of(), layer_of(inhibition=False), layer_of().potentials, STDP(layer_of())):
        with pytest.raises(ValueError, match=r"spikes must be 0 or 1, got values from 0 to 0\.5"):
            call(spikes_of(0) * 0.5)
    with pytest.raises(TypeError, match="spikes must be a tensor, got list"):
        layer_of().first_spikes([])
    with pytest.raises(ValueError, match="size must be an integer of at least 1, got 0"):
        pool_spikes(spikes_of(1), 0)
