"""The Plackett-Luce law over permutations, and all that its estimators take from it."""

import itertools
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

ENUMERATED = 8  # most items whose permutations are listed


class _Permutations(constraints.Constraint):
    """Integers (..., d), each of 0 to d - 1 once along the last dimension."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        if value.dim() == 0:
            return torch.zeros((), dtype=torch.bool, device=value.device)
        each = torch.arange(value.shape[-1], device=value.device, dtype=value.dtype)
        found: Tensor = (value.sort(dim=-1).values == each).all(dim=-1)
        return found


permutations = _Permutations()


class PlackettLuce(Distribution):
    r"""Orders of d items: each next one is drawn from those left, with probability in proportion to ``exp(logits)``.

    .. code-block:: text

        log p(b) = sum_k [theta_(b_k) - logsumexp_(j >= k) theta_(b_j)]
        sample:    z_i = theta_i + Gumbel,  b sorts z descending

    An order b (..., d) of integers holds the first item at ``b[..., 0]``. A number added to all logits changes nothing.

    Args:
        logits: theta (..., d); leading dimensions are the batch's.
        validate_args: as of every distribution of torch's: whether logits and orders are checked.

    Raises:
        ValueError: logits are not finite, have no dimension, or an order is none.

    Source: Plackett, "The analysis of permutations", Appl. Statist. 24 (1975), 193-202; sampling by Gumbel's law:
    Yellott, J. Math. Psychol. 15 (1977), 109-144; as used here: Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov,
    arXiv 1911.10036 (2020).

    Example:
        >>> law = PlackettLuce(torch.tensor([2.0, 0.0, 1.0]))
        >>> law.mode
        tensor([0, 2, 1])
        >>> law.log_prob(law.enumerate_support()).exp().sum()
        tensor(1.0000)
    """

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012 - as torch has it
    support = permutations
    has_enumerate_support = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        if (
            not isinstance(logits, Tensor)
            or not logits.dtype.is_floating_point
            or logits.dim() == 0
            or not logits.numel()
        ):
            raise ValueError(f"logits must be floating-point numbers of shape (..., d), got {_describe(logits)}")
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)
        if self._validate_args and not torch.isfinite(logits).all():
            raise ValueError("logits must be finite")

    def expand(self, batch_shape: Any, _instance: Any = None) -> "PlackettLuce":
        """The same with another batch shape, into which that of the logits can be expanded."""
        new: PlackettLuce = self._get_checked_instance(PlackettLuce, _instance)  # type: ignore[no-untyped-call]
        batch = Size(batch_shape)
        new.logits = self.logits.expand(batch + self.event_shape)
        super(PlackettLuce, new).__init__(batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mode(self) -> Tensor:
        """The likeliest order (..., d): logits descending, equal ones in their own order."""
        return self.logits.argsort(dim=-1, descending=True, stable=True)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008 - as torch has it
        """Orders of shape ``sample_shape + batch_shape + (d,)``."""
        with torch.no_grad():
            waits = exponentials(self._extended_shape(sample_shape), self.logits)
            return order_of(perturb(self.logits, waits))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of orders (..., d)."""
        if self._validate_args:
            self._validate_sample(value)
        ordered, rest, _ = _follow(self.logits, value)
        return (ordered - rest).sum(dim=-1)

    def score(self, value: Tensor) -> Tensor:
        r"""The gradient of :meth:`log_prob` by the logits, for orders (..., d): not differentiable itself.

        .. code-block:: text

            d log p / d theta_(b_i) = 1 - exp(theta_(b_i)) sum_(k <= i) 1 / Theta_k
            Theta_k = sum_(j >= k) exp(theta_(b_j))
        """
        if self._validate_args:
            self._validate_sample(value)
        with torch.no_grad():
            ordered, rest, value = _follow(self.logits, value)
            found = 1 - (ordered + accumulate(-rest)).exp()
            return torch.empty_like(found).scatter_(-1, value, found)

    def sample_conditional(self, order: Tensor) -> Tensor:
        r"""Draw the perturbed logits z (..., d) that sort to an order (..., d), by their law given this order.

        .. code-block:: text

            z_(b_k) = -log sum_(i <= k) e_i / Theta_i,  e ~ Exp(1)

        Over random orders z is logits plus Gumbel noise. Differentiable by the logits with e held fixed.
        """
        if self._validate_args:
            self._validate_sample(order)
        _, rest, order = _follow(self.logits, order)
        return perturb_given(self.logits, order, exponentials(rest.shape, self.logits))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All d! orders (d!, 1, ..., d), or (d!, batch_shape, d) if ``expand``; of at most 8 items."""
        d = self.event_shape[0]
        if d > ENUMERATED:
            raise NotImplementedError(f"orders can be listed of at most {ENUMERATED} items, got {d}")
        listed = torch.tensor(list(itertools.permutations(range(d))), dtype=torch.int64, device=self.logits.device)
        listed = listed.view(-1, *(1,) * len(self.batch_shape), d)
        return listed.expand(-1, *self.batch_shape, -1) if expand else listed

    def entropy(self) -> Tensor:
        """The entropy of the law (batch_shape), by listing its orders; of at most 8 items."""
        logs = self.log_prob(self.enumerate_support())
        return -(logs.exp() * logs).sum(dim=0)


def exponentials(shape: Size | tuple[int, ...], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard exponential numbers, above 0, of the dtype and on the device of ``like``."""
    drawn = torch.empty(shape, dtype=like.dtype, device=like.device).exponential_(generator=generator)
    return drawn.clamp_(min=torch.finfo(like.dtype).tiny)


def perturb(logits: Tensor, waits: Tensor) -> Tensor:
    """Logits plus the Gumbel noise of exponential numbers."""
    return logits - waits.log()


def order_of(perturbed: Tensor) -> Tensor:
    """The order to which perturbed logits (..., d) sort."""
    return perturbed.argsort(dim=-1, descending=True, stable=True)


def perturb_given(logits: Tensor, order: Tensor, waits: Tensor) -> Tensor:
    """Perturbed logits given the order they sort to, of exponential numbers: see ``sample_conditional``."""
    _, rest, order = _follow(logits, order)
    found = -accumulate(waits.log() - rest)
    return torch.empty_like(found).scatter(-1, order, found)


def accumulate(logs: Tensor) -> Tensor:
    """The logarithm of the cumulative sum of exponentials along the last dimension.

    torch's ``logcumsumexp`` has a gradient that cannot be differentiated again where it is 0.
    """
    shift, d = 1, logs.shape[-1]
    while shift < d:
        logs = torch.cat([logs[..., :shift], torch.logaddexp(logs[..., shift:], logs[..., :-shift])], dim=-1)
        shift *= 2
    return logs


def _follow(logits: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take the logits in an order, the logarithm of the sum of the exponentials of those from each on, and the order.

    All three have the shape into which logits and order are broadcast.
    """
    logits, order = torch.broadcast_tensors(logits, order)  # type: ignore[no-untyped-call]
    ordered = logits.gather(-1, order)
    return ordered, accumulate(ordered.flip(-1)).flip(-1), order


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    return repr(value)
