"""Attention as a dynamical system: tokens on an ellipsoid, moved by multi-head attention.

The everyday names are here, flat (`attnflow.Sphere`, `attnflow.simulate`, ...); the rest is in the
sub-namespaces `attnflow.geometry`, `attnflow.schedules`, and so on. Nothing is imported until it is
asked for, so that `import attnflow` takes milliseconds and does not import JAX.
"""

from typing import TYPE_CHECKING

from .core.lazy import lazily as _lazily

__version__ = "0.9.0"

if TYPE_CHECKING:
    from . import (
        bench as bench,
        certify as certify,
        ensemble as ensemble,
        flow as flow,
        geometry as geometry,
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

# Where each name lives. A test holds this table and the imports above to each other.
_NAMESPACES = (
    "bench",
    "certify",
    "ensemble",
    "flow",
    "geometry",
    "language",
    "model",
    "observables",
    "paper",
    "plot",
    "programs",
    "records",
    "schedules",
    "search",
    "spec",
    "sweep",
    "theory",
)
_FLAT = {
    "flow": (
        "ProjectedSolver",
        "ResumableController",
        "consensus",
        "iterate",
        "simulate",
    ),
    "geometry": ("Ellipsoid", "Sphere", "hemisphere_margin"),
    "model": (
        "NGPT",
        "AttentionField",
        "AttentionLayers",
        "Hardmax",
        "LayerNorm",
        "Mix",
        "Peri",
        "Post",
        "Pre",
        "SquareRoot",
        "pad",
    ),
    "observables": (
        "AlignedPairs",
        "ClusterCount",
        "Clusters",
        "Dissipation",
        "EffectiveRank",
        "Energy",
        "HemisphereMargin",
        "Lyapunov",
        "Misalignment",
        "OrderParameter",
        "Residual",
        "aligned_pairs",
        "clusters",
        "cosines",
        "effective_rank",
        "energy",
        "energy_dissipation",
        "lyapunov",
        "misalignment",
        "order_parameter",
    ),
    "programs": ("cache", "raise_under_jit"),
    "records": ("load", "save"),
    "schedules": (
        "Bounded",
        "Constant",
        "Factored",
        "FixedSpectrum",
        "Fourier",
        "Function",
        "Interpolated",
        "Modulated",
        "Periodic",
        "Piecewise",
        "PositiveSemidefinite",
        "ScaledIdentity",
        "Sinusoid",
        "Symmetric",
    ),
}
_HOME = {name: namespace for namespace, names in _FLAT.items() for name in names}

__all__ = ["__version__", *_NAMESPACES, *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = _lazily(__name__, {name: name for name in _NAMESPACES} | _HOME)
