"""What the library is checked against: an oracle in plain NumPy and a bank of closed forms.

Only `_fields.py` imports attnflow, and `_engines.py`, which holds its two engines equal. The oracle
writes the model out term by term, in another way than the library does; the closed forms come from the
literature or from a page of algebra. The two are first checked against each other
(`tests/conformance/test_reference.py`), so that a test of the library stands on two independent legs.
"""

from ._closed_forms import (
    block_pairs_mask as block_pairs_mask,
    causal_rates as causal_rates,
    cross_ratios as cross_ratios,
    equiangular as equiangular,
    equiangular_cosine as equiangular_cosine,
    equiangular_layer_cosine as equiangular_layer_cosine,
    hardmax_map as hardmax_map,
    linear_equiangular as linear_equiangular,
    oja as oja,
    pair_cosine as pair_cosine,
    wendel as wendel,
)
from ._engines import (
    EVENTS as EVENTS,
    NEVER as NEVER,
    START as START,
    WIDE as WIDE,
    assert_same_run as assert_same_run,
    awkward as awkward,
    jumping as jumping,
    outcome_of as outcome_of,
    run_both as run_both,
)
from ._families import (
    DECODERS as DECODERS,
    ENCODERS as ENCODERS,
    FAMILY_OPTIONS as FAMILY_OPTIONS,
    FamilyOracle as FamilyOracle,
    family_checkpoint as family_checkpoint,
)
from ._fields import PLACES as PLACES, Place as Place
from ._gpt import (
    GPTOracle as GPTOracle,
    gpt_checkpoint as gpt_checkpoint,
    gpt_prompts as gpt_prompts,
    write_folder as write_folder,
)
from ._inputs import (
    carry_p as carry_p,
    carry_u as carry_u,
    generator as generator,
    random_orthogonal as random_orthogonal,
    random_rows as random_rows,
    random_spd as random_spd,
    refused_with as refused_with,
    unwhiten as unwhiten,
    whiten as whiten,
)
from ._integrate import dop853 as dop853, fixed_step as fixed_step
from ._oracle import Oracle as Oracle, layer as layer, misalignment as misalignment
