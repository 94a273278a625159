"""Will an initialization train? A few steps from it, layer by layer, beside torch's own.

The package is called `probing`, not `probe`: a subpackage `zeroinit_cli.probe` would hide a public
function of that name. With models and nets, the only place that imports torch. Import its modules
inside the functions that need them; `arrays`, `report`, `judge`, `page` and `plots` are free of
torch.
"""
