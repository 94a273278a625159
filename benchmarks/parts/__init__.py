"""What is measured, part by part: each gives a table of its own."""
