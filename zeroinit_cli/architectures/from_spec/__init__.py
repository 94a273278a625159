"""Blueprints of YAML specs -> modules of plain torch, to initialize and to train."""

from zeroinit_cli.architectures.from_spec.building import build_blueprint

__all__ = ["build_blueprint"]
