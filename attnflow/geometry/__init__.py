"""Where tokens live: the sphere, the ellipsoid, all of space, hemispheres and their margin, whitening."""

from ._ellipsoid import Ellipsoid as Ellipsoid
from ._euclidean import Euclidean as Euclidean
from ._hemisphere import (
    HemisphereCertificate as HemisphereCertificate,
    hemisphere_certificate as hemisphere_certificate,
    hemisphere_margin as hemisphere_margin,
)
from ._manifold import (
    AbstractManifold as AbstractManifold,
    moderate as moderate,
    safe_norm as safe_norm,
)
from ._sphere import Sphere as Sphere
