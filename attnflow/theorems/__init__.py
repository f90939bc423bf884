"""Which theorem applies to a field, and what it predicts for a run."""

from . import conditions as conditions
from ._hypothesis import (
    Condition as Condition,
    Exact as Exact,
    Hypothesis as Hypothesis,
    condition as condition,
)
from ._monitor import Check as Check, Monitor as Monitor, Report as Report, monitor as monitor
from ._paper import PAPER as PAPER
from ._quantities import Quantity as Quantity
from ._setting import Setting as Setting
from ._verdict import (
    Prediction as Prediction,
    Verdict as Verdict,
    Verdicts as Verdicts,
    judge as judge,
)
from ._verdicts import verdicts as verdicts
