"""Uploads that go on after an interruption: the face of the package. The protocols that speak of them are the API's.

state      what is known of an upload, as its file has it; pure
turns      who may write now: one request at a time, the newest goes first
tally      hashing and indexing while the bytes arrive
uploads    ResumableUploads: a method per thing that a client may do
settling   from the last byte to the job
sweeping   what is over, or too old, goes
"""

from app.jobs.resumable.state import LIFETIME, Proof, UploadState
from app.jobs.resumable.turns import TurnTaken
from app.jobs.resumable.upload import Uploads
from app.jobs.resumable.uploads import (
    HASHES,
    Appended,
    LengthMismatch,
    NewUpload,
    OffsetMismatch,
    Patch,
    ProofMismatch,
    ResumableUploads,
    Shown,
    UploadEnded,
    resumable_uploads,
)

__all__ = [
    "HASHES",
    "LIFETIME",
    "Appended",
    "LengthMismatch",
    "NewUpload",
    "OffsetMismatch",
    "Patch",
    "Proof",
    "ProofMismatch",
    "ResumableUploads",
    "Shown",
    "TurnTaken",
    "UploadEnded",
    "UploadState",
    "Uploads",
    "resumable_uploads",
]
