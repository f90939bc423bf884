# What `attnflow` offers, and where each name lives: for type checkers, and imported when it is asked for.

__version__: str

from . import (
    attractors as attractors,
    bench as bench,
    certify as certify,
    cover as cover,
    ensemble as ensemble,
    flow as flow,
    geometry as geometry,
    horizons as horizons,
    language as language,
    model as model,
    observables as observables,
    paper as paper,
    plot as plot,
    programs as programs,
    records as records,
    schedules as schedules,
    search as search,
    spec as spec,
    sweep as sweep,
    theory as theory,
)
from .flow import (
    Integrator as Integrator,
    Noise as Noise,
    ProjectedSolver as ProjectedSolver,
    ResumableController as ResumableController,
    consensus as consensus,
    iterate as iterate,
    simulate as simulate,
)
from .geometry import (
    Ellipsoid as Ellipsoid,
    Sphere as Sphere,
    hemisphere_margin as hemisphere_margin,
)
from .horizons import LongRun as LongRun, long_run as long_run
from .model import (
    NGPT as NGPT,
    AttentionField as AttentionField,
    AttentionLayers as AttentionLayers,
    Hardmax as Hardmax,
    LayerNorm as LayerNorm,
    Mix as Mix,
    Peri as Peri,
    Post as Post,
    Pre as Pre,
    SquareRoot as SquareRoot,
    pad as pad,
)
from .observables import (
    AlignedPairs as AlignedPairs,
    ClusterCount as ClusterCount,
    Clusters as Clusters,
    Dissipation as Dissipation,
    EffectiveRank as EffectiveRank,
    Energy as Energy,
    HemisphereMargin as HemisphereMargin,
    Lyapunov as Lyapunov,
    Misalignment as Misalignment,
    OrderParameter as OrderParameter,
    Renyi as Renyi,
    RenyiCentres as RenyiCentres,
    Residual as Residual,
    aligned_pairs as aligned_pairs,
    clusters as clusters,
    cosines as cosines,
    effective_rank as effective_rank,
    energy as energy,
    energy_dissipation as energy_dissipation,
    lyapunov as lyapunov,
    misalignment as misalignment,
    order_parameter as order_parameter,
    renyi_centres as renyi_centres,
)
from .programs import cache as cache, raise_under_jit as raise_under_jit
from .records import load as load, save as save
from .schedules import (
    Bounded as Bounded,
    Constant as Constant,
    Factored as Factored,
    FixedSpectrum as FixedSpectrum,
    Fourier as Fourier,
    Function as Function,
    Interpolated as Interpolated,
    Modulated as Modulated,
    Periodic as Periodic,
    Piecewise as Piecewise,
    PositiveSemidefinite as PositiveSemidefinite,
    ScaledIdentity as ScaledIdentity,
    Sinusoid as Sinusoid,
    Symmetric as Symmetric,
)
