"""What to look at: misalignment, Lyapunov functions, energy, cosines, clusters, rank, hemispheres.

Each is a function of tokens `y`, shape `(tokens, dim)`, and a module `obs(t, y)` for
`simulate(observe=...)`.
"""

from ._clusters import (
    AlignedPairs as AlignedPairs,
    ClusterCount as ClusterCount,
    Clusters as Clusters,
    ClustersWithin as ClustersWithin,
    aligned_pairs as aligned_pairs,
    cluster_count as cluster_count,
    clusters as clusters,
    clusters_within as clusters_within,
)
from ._cosines import (
    OrderParameter as OrderParameter,
    cosines as cosines,
    order_parameter as order_parameter,
)
from ._energy import (
    Dissipation as Dissipation,
    Energy as Energy,
    energy as energy,
    energy_dissipation as energy_dissipation,
)
from ._leaders import Leaders as Leaders, leaders as leaders
from ._lyapunov import Lyapunov as Lyapunov, lyapunov as lyapunov, lyapunov_each as lyapunov_each
from ._manifold import HemisphereMargin as HemisphereMargin, Residual as Residual
from ._misalignment import Misalignment as Misalignment, misalignment as misalignment
from ._plateaus import Plateaus as Plateaus, plateaus as plateaus
from ._rank import EffectiveRank as EffectiveRank, effective_rank as effective_rank
from ._renyi import Renyi as Renyi, RenyiCentres as RenyiCentres, renyi_centres as renyi_centres
from ._wasserstein import wasserstein as wasserstein, wasserstein_length as wasserstein_length
