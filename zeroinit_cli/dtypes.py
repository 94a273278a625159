"""The element types of safetensors: code, width, and their order in a file."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class DType:
    """One element type.

    Attributes:
        code: the name in a safetensors header, `F32`.
        name: the name in torch and numpy, `float32`.
        bits: width of one element.
    """

    code: str
    name: str
    bits: int

    @property
    def itemsize(self) -> int:
        """Bytes of one element.

        Raises:
            ValueError: the type is narrower than a byte.
        """
        if self.bits % 8:
            raise ValueError(f"{self.code} has no whole number of bytes")
        return self.bits // 8

    @property
    def unit_bytes(self) -> int:
        """Bytes that are read together: those of one element, or one of a type that is narrower."""
        return 1 if self.bits % 8 else self.itemsize


def _table(*rows: tuple[str, str, int]) -> dict[str, DType]:
    return {code: DType(code=code, name=name, bits=bits) for code, name, bits in rows}


DTYPES = _table(
    # In the order of the enum in safetensors 0.8 (tensor.rs). A file lists its tensors in the
    # reverse of this order, then by name. The format's specification does not promise it, so this
    # table freezes it for ours: it may grow where the library's grew, and never be reordered.
    ("BOOL", "bool", 8),
    ("F4", "float4_e2m1fn_x2", 4),
    ("F6_E2M3", "float6_e2m3fn", 6),
    ("F6_E3M2", "float6_e3m2fn", 6),
    ("U8", "uint8", 8),
    ("I8", "int8", 8),
    ("F8_E5M2", "float8_e5m2", 8),
    ("F8_E4M3", "float8_e4m3fn", 8),
    ("F8_E8M0", "float8_e8m0fnu", 8),
    ("F8_E4M3FNUZ", "float8_e4m3fnuz", 8),
    ("F8_E5M2FNUZ", "float8_e5m2fnuz", 8),
    ("I16", "int16", 16),
    ("U16", "uint16", 16),
    ("F16", "float16", 16),
    ("BF16", "bfloat16", 16),
    ("I32", "int32", 32),
    ("U32", "uint32", 32),
    ("F32", "float32", 32),
    ("C64", "complex64", 64),
    ("F64", "float64", 64),
    ("I64", "int64", 64),
    ("U64", "uint64", 64),
)
BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}
RANK = {code: rank for rank, code in enumerate(DTYPES)}

BOOL = DTYPES["BOOL"]
F64 = DTYPES["F64"]
F32 = DTYPES["F32"]
F16 = DTYPES["F16"]
BF16 = DTYPES["BF16"]

SHORT = {
    "fp64": "float64",
    "double": "float64",
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
}
"""Other words for types of `--dtype`, which people type."""
FLOATS = (F64, F32, F16, BF16)
"""What `--dtype` may be, and so the only floating types that a plan holds."""
INTEGERS = tuple(
    DTYPES[code] for code in ("BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64")
)
"""What a kept buffer may be, besides a float."""
