"""Times that no ordinary run reaches: clusters that merge at ln t in the hundreds."""

from ._history import LongRun as LongRun, Merges as Merges, Saved as Saved
from ._long_run import long_run as long_run
