"""The papers behind what this library builds, as BibTeX. Torch is not needed to look one up."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator
from types import FunctionType

__all__ = ["citation"]
_RECONSTRUCTED = "% steepest's {} is reconstructed from the abstract: its results are not the paper's.\n"


def _entry(text: str) -> str:
    return textwrap.dedent(text).strip() + "\n"


# Family names only: that is what the method sheets give.
_SNGM = _entry("""
    @article{zhao2024sngm,
      author        = {Zhao and Shi and Xie and Li},
      title         = {Stochastic normalized gradient descent with momentum for large-batch training},
      journal       = {Science China Information Sciences},
      volume        = {67},
      eid           = {212101},
      year          = {2024},
      eprint        = {2007.13985},
      archiveprefix = {arXiv},
    }
""")
_BLOCK_NORMALIZED = _entry("""
    @misc{yu2017blocknormalized,
      author        = {Yu and Huang and Lin and Salakhutdinov and Carbonell},
      title         = {Block-normalized gradient method: an empirical study for training deep neural network},
      year          = {2017},
      eprint        = {1707.04822},
      archiveprefix = {arXiv},
    }
""")
_LARS = _entry("""
    @misc{you2017lars,
      author        = {You and Gitman and Ginsburg},
      title         = {Large batch training of convolutional networks},
      year          = {2017},
      eprint        = {1708.03888},
      archiveprefix = {arXiv},
    }
""")
_INSGD = _entry("""
    @misc{atici2022insgd,
      author        = {Atici and Pan and Cetin},
      title         = {Input Normalized Stochastic Gradient Descent Training of Deep Neural Networks},
      year          = {2022},
      eprint        = {2212.09921},
      archiveprefix = {arXiv},
    }
""")
_SYMMETRIC_NOISE = _RECONSTRUCTED.format("S-SGD") + _entry("""
    @misc{sung2020ssgd,
      author        = {Sung and Choi and Park and Choi and Shin},
      title         = {{S-SGD}: Symmetrical Stochastic Gradient Descent with Weight Noise Injection for Reaching
                       Flat Minima},
      year          = {2020},
      eprint        = {2009.02479},
      archiveprefix = {arXiv},
    }
""")
_CALIBRATION = _RECONSTRUCTED.format("CSGD") + _entry("""
    @inproceedings{zhuo2019csgd,
      author    = {Zhuo and Zhang and Chen and Ye and Liu and Doermann},
      title     = {Calibrated Stochastic Gradient Descent for Convolutional Neural Networks},
      booktitle = {AAAI},
      pages     = {9348--9355},
      year      = {2019},
      note      = {journal form 2025, doi 10.1016/j.imavis.2025.105568},
    }
""")
_MUTUAL_INFORMATION = _RECONSTRUCTED.format("MutualInformationLR") + _entry("""
    @article{vasudevan2020mutual,
      author        = {Vasudevan},
      title         = {Mutual Information Based Learning Rate Decay for Stochastic Gradient Descent Training of Deep
                       Neural Networks},
      journal       = {Entropy},
      volume        = {22},
      number        = {5},
      eid           = {560},
      year          = {2020},
      eprint        = {1805.07249},
      archiveprefix = {arXiv},
      note          = {doi 10.3390/e22050560; the eprint is its first form},
    }
""")
_SHARPNESS_AWARE = _entry("""
    @inproceedings{foret2021sam,
      author        = {Foret and Kleiner and Mobahi and Neyshabur},
      title         = {Sharpness-Aware Minimization},
      booktitle     = {ICLR},
      year          = {2021},
      eprint        = {2010.01412},
      archiveprefix = {arXiv},
    }
""")
_DIFFUSION = _RECONSTRUCTED.format("diffusion metric") + _entry("""
    @article{fioresi2020diffusion,
      author        = {Fioresi and Chaudhari and Soatto},
      title         = {A geometric interpretation of stochastic gradient descent using diffusion metrics},
      journal       = {Entropy},
      volume        = {22},
      eid           = {101},
      year          = {2020},
      eprint        = {1910.12194},
      archiveprefix = {arXiv},
    }
""")
_LOSS_SURFACE = _entry("""
    @misc{li2017landscape,
      author        = {Li and Xu and Taylor and Studer and Goldstein},
      title         = {Visualizing the Loss Landscape of Neural Nets},
      year          = {2017},
      eprint        = {1712.09913},
      archiveprefix = {arXiv},
    }
""")
_MOMENTUM_DIFFUSION = _RECONSTRUCTED.format("theory of momentum") + _entry("""
    @misc{liu2018momentum,
      author        = {Liu and Chen and Zhou and Zhao},
      title         = {Toward deeper understanding of nonconvex stochastic optimization with momentum using diffusion
                       approximations},
      year          = {2018},
      eprint        = {1802.05155},
      archiveprefix = {arXiv},
    }
""")
_COMMITTEE = (
    _entry("""
    @article{saad1995online,
      author        = {Saad and Solla},
      title         = {On-line learning in soft committee machines},
      journal       = {Physical Review E},
      volume        = {52},
      pages         = {4225},
      year          = {1995},
    }
""")
    + "\n"
    + _entry("""
    @inproceedings{goldt2019dynamics,
      author        = {Goldt and Advani and Saxe and Krzakala and Zdeborova},
      title         = {Dynamics of stochastic gradient descent for two-layer neural networks in the teacher-student
                       setup},
      booktitle     = {NeurIPS},
      year          = {2019},
      eprint        = {1906.08632},
      archiveprefix = {arXiv},
      note          = {journal form J. Stat. Mech. 2020, 124010},
    }
""")
)
_PERMUTATIONS = _RECONSTRUCTED.format("estimators through permutations") + _entry("""
    @inproceedings{gadetsky2020plackett,
      author        = {Gadetsky and Struminsky and Robinson and Quadrianto and Vetrov},
      title         = {Low-variance black-box gradient estimates for the Plackett-Luce distribution},
      booktitle     = {AAAI},
      year          = {2020},
      eprint        = {1911.10036},
      archiveprefix = {arXiv},
    }
""")
_SCORE_FUNCTION = _entry("""
    @article{williams1992simple,
      author  = {Williams},
      title   = {Simple statistical gradient-following algorithms for connectionist reinforcement learning},
      journal = {Machine Learning},
      volume  = {8},
      pages   = {229--256},
      year    = {1992},
    }
""")
_LEAVE_ONE_OUT = _entry("""
    @inproceedings{kool2019buy,
      author    = {Kool and van Hoof and Welling},
      title     = {Buy 4 {REINFORCE} samples, get a baseline for free!},
      booktitle = {ICLR workshop on deep reinforcement learning meets structured prediction},
      year      = {2019},
    }
""")
_NEURAL_SORT = _entry("""
    @misc{grover2019stochastic,
      author        = {Grover and Wang and Zweig and Ermon},
      title         = {Stochastic optimization of sorting networks via continuous relaxations},
      year          = {2019},
      eprint        = {1903.08850},
      archiveprefix = {arXiv},
    }
""")
_STRAIGHT_THROUGH = _entry("""
    @misc{bengio2013estimating,
      author        = {Bengio and Leonard and Courville},
      title         = {Estimating or propagating gradients through stochastic neurons for conditional computation},
      year          = {2013},
      eprint        = {1308.3432},
      archiveprefix = {arXiv},
    }
""")
_GUMBEL_SINKHORN = _entry("""
    @misc{mena2018learning,
      author        = {Mena and Belanger and Linderman and Snoek},
      title         = {Learning latent permutations with {Gumbel-Sinkhorn} networks},
      year          = {2018},
      eprint        = {1802.08665},
      archiveprefix = {arXiv},
    }
""")
_COMPRESSION = _entry("""
    @article{grimaldi2018compressive,
      author        = {Grimaldi and Tenace and Calimera},
      title         = {Layer-wise compressive training for convolutional neural networks},
      journal       = {Future Internet},
      volume        = {11},
      number        = {1},
      pages         = {7},
      year          = {2018},
    }
""")
_SPIKING = _entry("""
    @misc{vaila2019spiking,
      author        = {Vaila and Chiasson and Saxena},
      title         = {Deep convolutional spiking neural networks for image classification},
      year          = {2019},
      eprint        = {1903.12272},
      archiveprefix = {arXiv},
    }
""")
_BINARIZED = _entry("""
    @misc{vaila2020binarized,
      author        = {Vaila and Chiasson and Saxena},
      title         = {A deep unsupervised feature learning spiking neural network with binarized classification
                       layers for {EMNIST} classification},
      year          = {2020},
      eprint        = {2002.11843},
      archiveprefix = {arXiv},
    }
""")
_COST_PER_SYNAPSE = _entry("""
    @misc{vaila2020continuous,
      author        = {Vaila and Chiasson and Saxena},
      title         = {Continuous learning in a single-incremental-task scenario with spike features},
      year          = {2020},
      eprint        = {2005.04167},
      archiveprefix = {arXiv},
    }
""")
# By the names of public classes and functions, then by those of `steepest methods`.
_MUON = _entry("""
    @misc{jordan2024muon,
      author        = {Jordan and Jin and Boza and Jiacheng and Cesista and Newhouse and Bernstein},
      title         = {Muon: An optimizer for hidden layers in neural networks},
      year          = {2024},
      url           = {https://kellerjordan.github.io/posts/muon},
    }
""")
_LION = _entry("""
    @misc{chen2023lion,
      author        = {Chen and Liang and Huang and Real and Wang and Liu and Pham and Dong and Luong and Hsieh and Lu
                       and Le},
      title         = {Symbolic Discovery of Optimization Algorithms},
      year          = {2023},
      eprint        = {2302.06675},
      archiveprefix = {arXiv},
    }
""")
_SCHEDULE_FREE = _entry("""
    @misc{defazio2024schedulefree,
      author        = {Defazio and Yang and Mehta and Mishchenko and Khaled and Cutkosky},
      title         = {The Road Less Scheduled},
      year          = {2024},
      eprint        = {2405.15682},
      archiveprefix = {arXiv},
    }
""")
_PRODIGY = _entry("""
    @misc{mishchenko2023prodigy,
      author        = {Mishchenko and Defazio},
      title         = {Prodigy: An Expeditiously Adaptive Parameter-Free Learner},
      year          = {2023},
      eprint        = {2306.06101},
      archiveprefix = {arXiv},
    }
""")
_SHAMPOO = _entry("""
    @misc{gupta2018shampoo,
      author        = {Gupta and Koren and Singer},
      title         = {Shampoo: Preconditioned Stochastic Tensor Optimization},
      year          = {2018},
      eprint        = {1802.09568},
      archiveprefix = {arXiv},
    }
""")
_ADAFACTOR = _entry("""
    @misc{shazeer2018adafactor,
      author        = {Shazeer and Stern},
      title         = {Adafactor: Adaptive Learning Rates with Sublinear Memory Cost},
      year          = {2018},
      eprint        = {1804.04235},
      archiveprefix = {arXiv},
    }
""")
_LBFGS = _entry("""
    @article{liu1989lbfgs,
      author        = {Liu and Nocedal},
      title         = {On the limited memory BFGS method for large scale optimization},
      journal       = {Mathematical Programming},
      volume        = {45},
      year          = {1989},
    }
""")
_PAPERS = {
    "SNGM": _SNGM,
    "BlockNormalizedSGD": _BLOCK_NORMALIZED,
    "normalize_gradients": _BLOCK_NORMALIZED,
    "NormalizedGradients": _BLOCK_NORMALIZED,
    "LARS": _LARS,
    "INSGD": _INSGD,
    "track_input_power": _INSGD,
    "SSGD": _SYMMETRIC_NOISE,
    "SymmetricNoise": _SYMMETRIC_NOISE,
    "calibrate": _CALIBRATION,
    "Calibration": _CALIBRATION,
    "GradientCalibration": _CALIBRATION,
    "MutualInformationLR": _MUTUAL_INFORMATION,
    "ConfusionCounts": _MUTUAL_INFORMATION,
    "DiffusionMetric": _DIFFUSION,
    "geodesic": _DIFFUSION,
    "loss_along": _LOSS_SURFACE,
    "loss_plane": _LOSS_SURFACE,
    "sam_sharpness": _SHARPNESS_AWARE,
    "lr_range_test": _MUTUAL_INFORMATION,
    "LRRange": _MUTUAL_INFORMATION,
    "StreamingPCA": _MOMENTUM_DIFFUSION,
    "Quadratic": _MOMENTUM_DIFFUSION,
    "Committee": _COMMITTEE,
    "PlackettLuce": _PERMUTATIONS,
    "REBAR": _PERMUTATIONS,
    "RELAX": _PERMUTATIONS,
    "CausalOrder": _PERMUTATIONS,
    "compress": _COMPRESSION,
    "SigmaConstraint": _COMPRESSION,
    "encode": _SPIKING,
    "SpikingConv2d": _SPIKING,
    "STDP": _SPIKING,
    "BinaryClassifier": _BINARIZED,
    "binary_step": _BINARIZED,
    "CostPerSynapse": _COST_PER_SYNAPSE,
    "sngm": _SNGM,
    "bng": _BLOCK_NORMALIZED,
    "bng-ratio": _BLOCK_NORMALIZED,
    "adam-ng": _BLOCK_NORMALIZED,
    "lars": _LARS,
    "insgd": _INSGD,
    "ssgd": _SYMMETRIC_NOISE,
    "ssgd-full": _SYMMETRIC_NOISE,
    "noise-sgd": _SYMMETRIC_NOISE,
    "csgd": _CALIBRATION,
    "csgd-lipschitz": _CALIBRATION,
    "csgd-learned": _CALIBRATION,
    "sam": _SHARPNESS_AWARE,
    "reinforce": _SCORE_FUNCTION,
    "loo": _LEAVE_ONE_OUT,
    "rebar": _PERMUTATIONS,
    "relax": _PERMUTATIONS,
    "relax-free": _PERMUTATIONS,
    "neural-sort": _NEURAL_SORT,
    "straight-through": _STRAIGHT_THROUGH,
    "gumbel-sinkhorn": _GUMBEL_SINKHORN,
    "sgd-mi": _MUTUAL_INFORMATION,
    "sgd-mi-layer": _MUTUAL_INFORMATION,
    "sgd-mi-range": _MUTUAL_INFORMATION,
    "muon": _MUON,
    "lion": _LION,
    "schedule-free-sgd": _SCHEDULE_FREE,
    "schedule-free-adamw": _SCHEDULE_FREE,
    "prodigy": _PRODIGY,
    "adafactor": _ADAFACTOR,
    "shampoo": _SHAMPOO,
    "lbfgs": _LBFGS,
}
# Of torch, which are compared and not ours; behind one of our estimators they add no paper.
_TORCHS = ("sgd", "nesterov", "adam", "adamw")


def citation(method: object) -> str:
    """The BibTeX of the papers behind an optimizer or a gradient estimator of this library.

    Args:
        method: the object itself (an optimizer, a noise, a handle that ``calibrate`` or ``normalize_gradients`` gave),
            its class, the function that makes it, or its name: that of the class, or that by which the command
            ``steepest compare`` knows it. In ``"ssgd+sngm"`` both have a paper. An optimizer of torch's or of your
            own stands for what is attached to it, and a subclass for the method that it extends.

    Returns:
        One entry a paper. A line before it says so where the method here is a reconstruction.

    Raises:
        ValueError: no paper is known for it.

    Example:
        >>> import steepest
        >>> print(steepest.citation("lars"))
        @misc{you2017lars,
          author        = {You and Gitman and Ginsburg},
          title         = {Large batch training of convolutional networks},
          year          = {2017},
          eprint        = {1708.03888},
          archiveprefix = {arXiv},
        }
        <BLANKLINE>
        >>> steepest.citation(steepest.LARS) == steepest.citation("lars")
        True
        >>> [line for line in steepest.citation("ssgd+sngm").splitlines() if line.startswith("@")]
        ['@misc{sung2020ssgd,', '@article{zhao2024sngm,']
    """
    if isinstance(method, str):
        papers = list(_look_up_papers(method))
    else:
        names = [*_list_names(method), *(name for part in _list_attached(method) for name in _list_names(part))]
        papers = [_PAPERS[name] for name in names if name in _PAPERS]
    if not papers:
        what = method if isinstance(method, str) else _title(method)
        raise ValueError(f"no paper is known for {what!r}; {_offer(str(what))}")
    return "\n".join(dict.fromkeys(papers))


def _look_up_papers(name: str) -> Iterator[str]:
    """Look up every part of a method's name.

    Raises:
        ValueError: a part is unknown.
    """
    for part in map(str.strip, name.split("+")):
        if part in _PAPERS:
            yield _PAPERS[part]
        elif part not in _TORCHS:
            raise ValueError(f"no paper is known for {part!r}; {_offer(part)}")


def _list_names(thing: object) -> Iterable[str]:
    """Find what the table calls a function, a class or an instance: nothing if it is not of this library."""
    if isinstance(thing, FunctionType):
        return [thing.__name__] if _is_ours(thing) else []
    kind = thing if isinstance(thing, type) else type(thing)
    return [base.__name__ for base in kind.__mro__ if _is_ours(base) and base.__name__ in _PAPERS][:1]


def _list_attached(thing: object) -> Iterable[object]:
    """List the handles on an optimizer that change its gradient before the step."""
    hooks = getattr(thing, "_optimizer_step_pre_hooks", None)
    return [] if hooks is None else list(hooks.values())


def _is_ours(thing: type | FunctionType) -> bool:
    return thing.__module__.partition(".")[0] == "steepest"


def _title(thing: object) -> str:
    kind = thing if isinstance(thing, type | FunctionType) else type(thing)
    return kind.__name__


def _offer(word: str) -> str:
    """Name the known words nearest to one, or all of them."""
    close = difflib.get_close_matches(word, _PAPERS, n=2, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    return "known are " + ", ".join(_PAPERS)
