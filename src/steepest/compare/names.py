"""The names that a help text lists, where reading them loads neither torch nor Optuna."""

DEFAULT_METHODS = ("sgd", "nesterov", "adamw", "lars", "sngm", "bng", "bng-ratio")
ENGINES = ("processes", "ray")
# Those of the tables in `schedule.py`, `pruners.py` and `running/ranks.py`.
SCHEDULES = ("linear", "constant", "cosine", "polynomial", "step")
PRUNERS = ("median", "halving")
STRATEGIES = ("ddp", "fsdp2")
