"""What lasts: files written whole or not at all, modules saved and loaded, provenance, progress."""

from ._arrays import opened_arrays as opened_arrays, packed_arrays as packed_arrays
from ._atomic import atomic_write as atomic_write, writable_folder as writable_folder
from ._modules import load as load, save as save
from ._progress import progress as progress
from ._provenance import (
    Provenance as Provenance,
    jax_fault as jax_fault,
    provenance as provenance,
    versions as versions,
)
from ._work import WorkStore as WorkStore, digest_of as digest_of
