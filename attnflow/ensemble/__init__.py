"""Many trajectories at once: slots that refill, results in order, summaries, gradients of means."""

from ._hosts import gather as gather
from ._lanes import OfField as OfField
from ._mean import MeanOptions as MeanOptions, mean as mean
from ._result import Ensemble as Ensemble, Outcome as Outcome, Records as Records
from ._run import RunOptions as RunOptions, run as run
from ._summaries import (
    Histogram as Histogram,
    Mean as Mean,
    Quantiles as Quantiles,
    Summary as Summary,
    Survival as Survival,
)
from ._values import values as values
