"""SOURCE -> a built module -> its structure -> a torch-free Plan. With probing, the room of torch.

Import it inside the function that needs it: torch takes seconds to load.
"""

from zeroinit_cli.models.given import init_given, plan_given
from zeroinit_cli.models.planning import plan_source

__all__ = ["init_given", "plan_given", "plan_source"]
