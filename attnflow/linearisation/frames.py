"""The field in charts at one configuration, for rooms that follow equilibria on their own."""

from ._crossing import is_singular as is_singular
from ._equilibrium import find as find, is_at_rest as is_at_rest
from ._family import family_directions as family_directions, moving_complement as moving_complement
from ._jacobian import Fixed as Fixed, Frame as Frame, frame_of as frame_of
from ._linear import least_squares as least_squares
from ._spectrum import analyse as analyse
