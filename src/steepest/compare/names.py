"""The names that a help text lists, where reading them loads neither torch nor Optuna."""

DEFAULT_METHODS = ("sgd", "nesterov", "adamw", "lars", "sngm", "bng", "bng-ratio")
ENGINES = ("processes", "ray")
# Those of the tables in `training/definitions/schedule.py`, `policy/pruners.py`, `training/process/group.py` and
# `training/definitions/recipe.py`.
SCHEDULES = ("linear", "constant", "cosine", "polynomial", "step")
PRUNERS = ("median", "halving")
SAMPLERS = ("quasi-random", "tpe")  # of the points of a search
CHOICES = ("fitted", "best")  # of a search's point; what they are is said in `analysis/choice.py`
STRATEGIES = ("ddp", "fsdp2")
BUDGETS = ("evaluations", "samples", "steps", "seconds")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
TRACKERS = ("wandb", "mlflow", "trackio")  # each the name of its package, and of the extra that brings it
