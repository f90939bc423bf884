"""What is known without a simulation: times and rates to hold runs against."""

from ._equiangular import equiangular_time as equiangular_time
