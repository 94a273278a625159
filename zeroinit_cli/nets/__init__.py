"""Blueprints of YAML specs -> modules of plain torch, to initialize and to train."""

from zeroinit_cli.nets.building import build_blueprint

__all__ = ["build_blueprint"]
