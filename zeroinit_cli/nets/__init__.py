"""Blueprints of YAML specs -> modules of plain torch, to initialize and to train."""

from zeroinit_cli.nets.blocks import build_blueprint

__all__ = ["build_blueprint"]
