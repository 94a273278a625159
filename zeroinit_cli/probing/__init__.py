"""Will a start train? A few steps of it, layer by layer, beside torch's own start.

The one other room with torch. Import its modules inside the functions that need them; `reports`,
`judging`, `page`, `arrays` and `settings` are free of torch.
"""
