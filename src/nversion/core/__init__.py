"""What every package needs: errors, registries, fingerprints, seeds, chunks, whole files, label spaces."""

from .chunks import chunk_length, spans
from .code import code_fingerprint
from .cores import memory_bytes, usable_cores
from .durations import duration
from .errors import UserError
from .extras import extras_named
from .files import remove_leftovers, whole_file, write_bytes, write_text
from .fingerprint import fingerprint, fingerprint_file
from .labels import LabelSpace
from .lock import only_run
from .names import fault_of_name, inside, plain_name
from .parts import PartedArray
from .registry import Registry, did_you_mean
from .sealed import move_aside, read_record, read_sealed, write_record, write_sealed
from .seeds import generator

__all__ = [
    "LabelSpace",
    "PartedArray",
    "Registry",
    "UserError",
    "chunk_length",
    "code_fingerprint",
    "did_you_mean",
    "duration",
    "extras_named",
    "fault_of_name",
    "fingerprint",
    "fingerprint_file",
    "generator",
    "inside",
    "memory_bytes",
    "move_aside",
    "only_run",
    "plain_name",
    "read_record",
    "read_sealed",
    "remove_leftovers",
    "spans",
    "usable_cores",
    "whole_file",
    "write_bytes",
    "write_record",
    "write_sealed",
    "write_text",
]
