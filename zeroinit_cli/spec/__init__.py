"""YAML specs: architectures that people write, read and trust. No torch in here.

`yaml_text` and `yaml_tree` read YAML. `document`, `items`, `layers/` and `families/` define what a
spec may say. `shape_check` follows its shapes and infers the `blueprint`; `collector` keeps the
mistakes and counts, and `error_locations` gives mistakes their place. `check` puts these together.
`canonical` is the form that is digested and shown, `schema` the language for editors and messages.
"""
