"""The machine and the versions that the numbers belong to; no name, address or path of it."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "scipy", "zero_init", "zeroinit-cli")


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a reader needs to judge the times.

    Attributes:
        cores: how many the system has.
        cpu: the processor's model.
        memory_bytes: installed memory.
        system: operating system and architecture.
        load: one-minute load average before the first measurement; 0 is a quiet machine.
        versions: of Python, packages and openssl, by name.
    """

    cores: int
    cpu: str
    memory_bytes: int
    system: str
    load: float
    versions: dict[str, str]


def describe_machine() -> Machine:
    """This machine, now."""
    return Machine(
        cores=os.cpu_count() or 1,
        cpu=_cpu(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}",
        load=os.getloadavg()[0],
        versions={"Python": platform.python_version(), **_package_versions(), **_openssl()},
    )


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _package_versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def _openssl() -> dict[str, str]:
    openssl = shutil.which("openssl")
    if openssl is None:
        return {}
    words = subprocess.run([openssl, "version"], capture_output=True, text=True, check=True).stdout
    return {"openssl": words.split()[1]}
