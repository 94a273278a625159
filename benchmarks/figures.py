"""What is measured, as it was measured: the children print it, the results keep it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class OursRun:
    """What `benchmarks.ours` measured.

    Attributes:
        plan_seconds: building the module without weights and choosing each tensor's rule.
        write_seconds: computing, writing, flushing and hashing the file.
        growth_bytes: the most memory held while writing, above what was held with the plan made;
            None where the system does not tell.
        file_bytes: size of the file.
        sha256: of the file, in hexadecimal.
    """

    plan_seconds: float
    write_seconds: float
    growth_bytes: int | None
    file_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRun:
    """What `benchmarks.reference` measured, in seconds.

    Attributes:
        build_seconds: torchvision's builder, with the random weights that it makes.
        initialise_seconds: `model.apply(ZerO_Init)`.
        save_seconds: `safetensors.torch.save_file`.
        hash_seconds: SHA-256 of the file, by hashlib.
    """

    build_seconds: float
    initialise_seconds: float
    save_seconds: float
    hash_seconds: float

    @property
    def work_seconds(self) -> float:
        """Initialise + save + hash, the counterpart of our values + write + hash."""
        return self.initialise_seconds + self.save_seconds + self.hash_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A whole process: seconds from start to end, and its largest resident set."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One repetition of everything for one model, one after the other.

    Attributes:
        ours: plan, then values + write + hash.
        sha256_seconds: `openssl dgst -sha256` of the file that `ours` left; None without openssl.
        command: the whole of `zeroinit generate`.
        reference: None in a round that leaves the reference out.
        reference_process: the whole process of `reference`.
    """

    ours: OursRun
    sha256_seconds: float | None
    command: Process
    reference: ReferenceRun | None
    reference_process: Process | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelResult:
    """All rounds of one model."""

    name: str
    rounds: tuple[Round, ...]
