"""What is measured in a process of its own: each prints its figures as one JSON object."""
